// A command's table as a manual page: mdoc(7) source, which man-db and mandoc show. Called by write_man_pages.ts.
import { fill, wordsOf } from './fill.ts';
import type { Command, CommandOption, Section } from './options.ts';

/** What a page says of the package that it belongs to. */
export interface ManPageContext {
  readonly version: string;
  /** When the commands were last changed or built. */
  readonly date: Date;
  /** Every command of the package, for SEE ALSO. */
  readonly commands: readonly Command[];
}

/** Signs that roff gives a meaning to, or that it would make typographic: users copy what they see. */
const escapes: Readonly<Record<string, string>> = { '\\': '\\e', '-': '\\-', '~': '\\(ti', '^': '\\(ha', '`': '\\(ga' };

function escapeRoff(text: string): string {
  return text.replace(/[\\\-~^`]/g, (sign) => escapes[sign] ?? sign);
}

/** Text lines, none of which roff takes for a request. */
function textLines(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^[.']/, '\\&$&'));
}

/** A paragraph, every sentence on a line of its own, as roff wants it to space them well. */
function paragraph(text: string): string[] {
  const sentences = wordsOf(escapeRoff(text))
    .join(' ')
    .split(/(?<=[.!?]) (?=[A-Z])/);
  return textLines(sentences.flatMap((sentence) => fill(sentence.split(' '))));
}

/** Lines that are shown as they are, quotes and all. */
function literal(line: string): string[] {
  const quoted = escapeRoff(line).replace(/'/g, '\\(aq').replace(/"/g, '\\(dq');
  return ['.Bd -literal -offset indent', ...textLines([quoted]), '.Ed'];
}

/** A phrase of a table as a sentence. */
function sentence(text: string, end = '.'): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${end}`;
}

/** Arguments of macros. One in quotes is not looked into for macros. */
function argument(text: string): string {
  return `"${escapeRoff(text).replace(/"/g, '\\(dq')}"`;
}

function flag(name: string, value: string | undefined): string {
  return `Fl ${escapeRoff(name)}${value === undefined ? '' : ` Ar ${escapeRoff(value)}`}`;
}

function synopsisOf({ long, short, value }: CommandOption): string {
  return `.Op ${flag(short ?? `-${long}`, value)}`;
}

function itemOf({ long, short, value, text }: CommandOption): string[] {
  const names = [...(short === undefined ? [] : [flag(short, value)]), flag(`-${long}`, value)];
  return [`.It ${names.join(' , ')}`, ...paragraph(sentence(text))];
}

/** The macro for terms below a heading. */
const termMacros: Readonly<Record<string, string>> = { Environment: 'Ev ', Files: 'Pa ' };

function sectionLines([heading, section]: readonly [string, Section]): string[] {
  const lead = `.Sh ${heading.toUpperCase()}`;
  if (typeof section === 'string') return [lead, ...paragraph(section)];
  const items = Object.entries(section).flatMap(([term, text]) => [
    `.It ${termMacros[heading] ?? ''}${argument(term)}`,
    ...paragraph(sentence(text)),
  ]);
  return [lead, '.Bl -tag -width Ds', ...items, '.El'];
}

/** `November 21, 2026`, the form that mdoc wants. */
function dateText(date: Date): string {
  return new Intl.DateTimeFormat('en-US', { dateStyle: 'long', timeZone: 'UTC' }).format(date);
}

/** The source of a command's manual page, in section 1. */
export function manPage(command: Command, { version, date, commands }: ManPageContext): string {
  const { name, text, options, positionals, description, sections, examples } = command;
  const others = commands.map((other) => other.name).filter((other) => other !== name);
  return [
    `.Dd ${dateText(date)}`,
    `.Dt ${escapeRoff(name.toUpperCase())} 1`,
    `.Os ${argument(`packet-bricks ${version}`)}`,
    '.Sh NAME',
    `.Nm ${escapeRoff(name)}`,
    `.Nd ${escapeRoff(text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, ''))}`,
    '.Sh SYNOPSIS',
    '.Nm',
    ...options.map(synopsisOf),
    ...positionals.map((positional) => `.Ar ${positional}`),
    '.Sh DESCRIPTION',
    ...description.flatMap((block, i) => [...(i > 0 ? ['.Pp'] : []), ...paragraph(block)]),
    '.Pp',
    'The options are as follows:',
    '.Bl -tag -width Ds',
    ...options.flatMap(itemOf),
    '.El',
    ...Object.entries(sections).flatMap(sectionLines),
    '.Sh EXAMPLES',
    ...examples.flatMap((example, i) => [
      ...(i > 0 ? ['.Pp'] : []),
      ...paragraph(sentence(example.text, ':')),
      ...literal(example.line),
    ]),
    '.Sh SEE ALSO',
    ...others.sort().map((other, i) => `.Xr ${escapeRoff(other)} 1${i < others.length - 1 ? ' ,' : ''}`),
    '',
  ].join('\n');
}
