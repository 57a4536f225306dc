// Command lines as data: one table from which a command line is parsed, --help is printed and man pages are made.

import { parseArgs } from 'node:util';
import { errorText } from '../../engine/errors.ts';
import { fill, wordsOf } from './fill.ts';

/** How commands end: what scripts and service managers rely on. */
export const exitStatus = { success: 0, failure: 1, usage: 2 } as const;

/** One option of a command. */
export interface CommandOption {
  readonly long: string;
  readonly short?: string;
  /** What stands for its value in help texts; without it the option is a switch. */
  readonly value?: string;
  /** True where the value is a command line itself: it may begin with a dash, as no other's may. */
  readonly takesDash?: boolean;
  /** One line for users. */
  readonly text: string;
}

/** What is under a heading: a paragraph, or terms and what each of them means. */
export type Section = string | Readonly<Record<string, string>>;

/** A program as its users see it. Line breaks in its texts mean nothing: they are filled anew wherever they are shown. */
export interface Command {
  readonly name: string;
  /** What it does, in one line. */
  readonly text: string;
  readonly options: readonly CommandOption[];
  /**
   * What stands behind the options, as in "IFACE N": all of them must, but for those in brackets; one that ends in "..."
   * any number of times. Empty: nothing may.
   */
  readonly positionals: readonly string[];
  /** Paragraphs that say how it is used. */
  readonly description: readonly string[];
  /** "Exit status", "Environment", "Files", "Signals". */
  readonly sections: Readonly<Record<string, Section>>;
  /** Lines for a shell, each with what it does. Tests run them. */
  readonly examples: readonly { readonly text: string; readonly line: string }[];
}

/** A command line taken apart. */
export interface ParsedCommand {
  readonly values: Readonly<Record<string, string | undefined>>;
  readonly switches: ReadonlySet<string>;
  readonly positionals: readonly string[];
}

/** What is wrong with a command line, in one line. */
export class UsageError extends Error {}

/** The options that every command has. */
export const commonOptions: readonly CommandOption[] = [
  { long: 'help', short: 'h', text: 'print help and exit' },
  { long: 'version', short: 'v', text: 'print the version and exit' },
];

type Specification = Record<string, { type: 'boolean' | 'string'; short?: string }>;

function tokensOf(args: readonly string[], options: Specification) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, tokens: true });
  } catch (error) {
    // Node's hint about "--" has no use here.
    const text = errorText(error);
    throw new UsageError((text.split(/[.\n] ?/)[0] ?? text).replace(/^U/, 'u').replace(/^O/, 'o'));
  }
}

/** `--long VALUE` as `--long=VALUE`, for options whose values begin with a dash. */
function withJoinedValues(args: readonly string[], options: readonly CommandOption[]): string[] {
  const names = options.filter(({ takesDash }) => takesDash).map(({ long }) => `--${long}`);
  const [arg, value, ...rest] = args;
  if (arg === undefined || arg === '--') return [...args];
  if (value === undefined || !names.includes(arg)) return [arg, ...withJoinedValues(args.slice(1), options)];
  return [`${arg}=${value}`, ...withJoinedValues(rest, options)];
}

/** Takes a command line apart. Throws {@link UsageError}. */
export function parseCommand(command: Command, args: readonly string[]): ParsedCommand {
  const options: Specification = Object.fromEntries(
    command.options.map(({ long, short, value }) => [
      long,
      { type: value === undefined ? 'boolean' : 'string', ...(short !== undefined && { short }) },
    ]),
  );
  const parsed = tokensOf(withJoinedValues(args, command.options), options);
  const { positionals, tokens } = parsed;
  // The last one would win, and the others be lost without a word.
  const given = tokens.flatMap((token) => (token.kind === 'option' && token.value !== undefined ? token.name : []));
  const twice = given.find((name, i) => given.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`option '--${twice}' is given twice`);
  const isOpen = command.positionals.at(-1)?.endsWith('...') === true;
  if (positionals.length > command.positionals.length && !isOpen) {
    throw new UsageError(`unexpected argument '${positionals[command.positionals.length]}'`);
  }
  const values: Record<string, string> = {};
  const switches = new Set<string>();
  for (const [name, value] of Object.entries(parsed.values)) {
    if (typeof value === 'string') values[name] = value;
    else if (value === true) switches.add(name);
  }
  const missing = command.positionals[positionals.length];
  if (missing !== undefined && !missing.startsWith('[') && !switches.has('help') && !switches.has('version')) {
    throw new UsageError(`${missing} is missing`);
  }
  return { values, switches, positionals };
}

/** How an option is written on a usage line: `[-f script.lua]`. */
function usageOf({ long, short, value }: CommandOption): string {
  const name = short === undefined ? `--${long}` : `-${short}`;
  return value === undefined ? `[${name}]` : `[${name} ${value}]`;
}

/** How an option is written in the list of options: `-f, --file script.lua`. */
function nameOf({ long, short, value }: CommandOption): string {
  const name = `${short === undefined ? '    ' : `-${short}, `}--${long}`;
  return value === undefined ? name : `${name} ${value}`;
}

/** Terms and their meanings in two columns; a term too wide for its column has a line of its own. */
function columns(rows: readonly (readonly [term: string, text: string])[]): string[] {
  const termMax = 26;
  const at = Math.max(...rows.map(([term]) => (term.length > termMax ? 0 : term.length))) + 4;
  return rows.flatMap(([term, text]) => {
    const lead = `  ${term}`;
    if (term.length <= termMax) return fill(wordsOf(text), lead.padEnd(at));
    return [lead, ...fill(wordsOf(text), ' '.repeat(at))];
  });
}

function sectionText([heading, section]: readonly [string, Section]): string[] {
  if (typeof section === 'string') return ['', ...fill(wordsOf(`${heading}: ${section}`))];
  return ['', `${heading}:`, ...columns(Object.entries(section))];
}

/** `Usage: bricks-load-balance [-b packets] [-h] IFACE N`, in lines of 80 columns. */
export function usageLine(command: Command): string {
  const lead = `Usage: ${command.name} `;
  // What must be given is not torn apart.
  const positionals = command.positionals.length > 0 ? [command.positionals.join(' ')] : [];
  return fill([...command.options.map(usageOf), ...positionals], lead).join('\n');
}

/** What --help prints. */
export function helpText(command: Command): string {
  return [
    usageLine(command),
    '',
    ...fill(wordsOf(command.text)),
    '',
    ...columns(command.options.map((option) => [nameOf(option), option.text])),
    ...command.description.flatMap((paragraph) => ['', ...fill(wordsOf(paragraph))]),
    ...Object.entries(command.sections).flatMap(sectionText),
    '',
    'Examples:',
    ...command.examples.flatMap(({ text, line }) => [...fill(wordsOf(text), '  # ', 4), `  ${line}`]),
    '',
  ].join('\n');
}
