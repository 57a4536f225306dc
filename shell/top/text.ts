// Lines of styled text and how wide they are on a terminal. Pure; everything that the dashboard shows is made of it.

/** strong: names; warn: there were losses; bad: there are losses; chosen: the selected engine; plain: all else. */
export type Style = 'plain' | 'strong' | 'warn' | 'bad' | 'chosen';

export interface Span {
  readonly text: string;
  readonly style: Style;
}

export type Line = readonly Span[];

export function span(text: string, style: Style = 'plain'): Span {
  return { text, style };
}

/** Twice as wide as others: Chinese, Japanese, Korean. */
const wide =
  /[\u3001-\u303e\u3041-\u3096\u30a1-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60]/u;

/**
 * Characters outside ASCII that every terminal shows, one or two columns wide, from left to right: Latin, Greek,
 * Cyrillic and the wide ones. What combines, reorders its line, or is of disputed width is not among them.
 */
const shown = new RegExp(
  `(?=[\\p{L}\\p{N}\\p{P}\\p{S}])(?:${wide.source}|[\u00a1-\u00ac\u00ae-\u024f\u0370-\u0482\u048a-\u052f\u1e00-\u1eff])`,
  'u',
);

/**
 * A name that others chose, safe to show: what could move the cursor, reorder the line or be mistaken for something
 * else is written as \u{hex}. In ASCII everything outside ASCII is.
 */
export function printable(name: string, isAscii: boolean): string {
  const asCode = (char: string): string => `\\u{${char.codePointAt(0)?.toString(16)}}`;
  return Array.from(name.normalize('NFC'), (char) => {
    if (char >= ' ' && char <= '~') return char;
    return !isAscii && shown.test(char) ? char : asCode(char);
  }).join('');
}

/** Columns that a text takes. Everything but what {@link printable} lets through as wide takes one. */
export function width(text: string): number {
  // Nearly all text is narrow, and none of it is outside the basic plane: its length is its width.
  if (!wide.test(text)) return text.length;
  let columns = 0;
  for (const char of text) columns += wide.test(char) ? 2 : 1;
  return columns;
}

/** As much of a text's beginning, or of its end, as fits into so many columns. */
function cut(text: string, columns: number, side: 'begin' | 'end' = 'begin'): string {
  if (width(text) <= columns) return text;
  const chars = side === 'begin' ? Array.from(text) : Array.from(text).reverse();
  const kept: string[] = [];
  let used = 0;
  for (const char of chars) {
    used += width(char);
    if (used > columns) break;
    kept.push(char);
  }
  return (side === 'begin' ? kept : kept.reverse()).join('');
}

/** A name in so many columns: a long one loses its middle, as both ends tell names apart. */
export function shorten(name: string, columns: number, ellipsis: string): string {
  if (width(name) <= columns) return name;
  if (columns <= ellipsis.length) return cut(name, columns);
  const rest = columns - ellipsis.length;
  return cut(name, Math.floor(rest / 2)) + ellipsis + cut(name, Math.ceil(rest / 2), 'end');
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - width(text)));
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - width(text))) + text;
}

export function lineWidth(line: Line): number {
  return line.reduce((sum, { text }) => sum + width(text), 0);
}

export function lineText(line: Line): string {
  return line.map(({ text }) => text).join('');
}

/** The line in exactly so many columns: cut, or filled with blanks of its last style. */
export function fit(line: Line, columns: number): Line {
  const fitted: Span[] = [];
  let left = columns;
  for (const { text, style } of line) {
    const kept = cut(text, left);
    if (kept !== '') fitted.push({ text: kept, style });
    left -= width(kept);
    if (kept !== text) break;
  }
  if (left > 0) fitted.push({ text: ' '.repeat(left), style: line.at(-1)?.style === 'chosen' ? 'chosen' : 'plain' });
  return fitted;
}
