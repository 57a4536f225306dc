// The characters that pictures are drawn with, for terminals that know UTF-8 and for those that do not. Pure.

export interface Glyphs {
  readonly isAscii: boolean;
  readonly ellipsis: string;
  /** In front of an input port, the first and those below it. */
  readonly firstInput: string;
  readonly input: string;
  /** In front of what a brick sends to: a port or a brick drawn elsewhere; a brick drawn right here. */
  readonly output: string;
  readonly lastOutput: string;
  readonly child: string;
  readonly lastChild: string;
  /** In front of what is below a brick that is not the last of its parent. */
  readonly beside: string;
  readonly full: string;
  readonly empty: string;
  /** From nothing to the most. */
  readonly levels: string;
}

export const unicodeGlyphs: Glyphs = {
  isAscii: false,
  ellipsis: '…',
  firstInput: '┌← ',
  input: '├← ',
  output: '├→ ',
  lastOutput: '└→ ',
  child: '├─ ',
  lastChild: '└─ ',
  beside: '│  ',
  full: '█',
  empty: '░',
  levels: '▁▂▃▄▅▆▇█',
};

export const asciiGlyphs: Glyphs = {
  isAscii: true,
  ellipsis: '~',
  firstInput: ',< ',
  input: '|< ',
  output: '|> ',
  lastOutput: '`> ',
  child: '|- ',
  lastChild: '`- ',
  beside: '|  ',
  full: '#',
  empty: '.',
  levels: '_.:-=+*#',
};

/** How much of `size` is used, in so many characters. Not empty unless it is, not full unless it is. */
export function bar(glyphs: Glyphs, used: number, size: number, columns: number): string {
  const share = size > 0 ? Math.min(1, Math.max(0, used / size)) : 0;
  const rounded = Math.round(share * columns);
  const filled = share === 0 ? 0 : share === 1 ? columns : Math.min(columns - 1, Math.max(1, rounded));
  return glyphs.full.repeat(filled) + glyphs.empty.repeat(columns - filled);
}

/**
 * A series as one line of at most so many characters, the newest value at its end, scaled to its largest.
 * A longer series is folded: each character shows the largest of its values, so that no burst is lost.
 *
 * @param end how many values there have ever been: groups begin at its multiples, so that they do not change as time goes
 * @param capacity how many values the series may come to hold
 */
export function sparkline(
  glyphs: Glyphs,
  values: readonly number[],
  { columns, end, capacity }: { columns: number; end: number; capacity: number },
): string {
  if (columns < 1) return '';
  const perColumn = Math.ceil(capacity / columns);
  const first = end - values.length;
  const groups = new Map<number, number>();
  values.forEach((value, i) => {
    const group = Math.floor((first + i) / perColumn);
    groups.set(group, Math.max(groups.get(group) ?? 0, value));
  });
  const peaks = [...groups.values()].slice(-columns);
  const most = Math.max(...peaks, 0);
  const steps = glyphs.levels.length - 1;
  // The lowest level is for nothing at all.
  return peaks.map((peak) => glyphs.levels[peak > 0 ? Math.max(1, Math.round((peak / most) * steps)) : 0]).join('');
}

/** True where the locale's characters are UTF-8, as locale(7) says: the first of these that is set decides. */
export function isUtf8Locale(environment: NodeJS.ProcessEnv): boolean {
  const locale = [environment.LC_ALL, environment.LC_CTYPE, environment.LANG].find((value) => value) ?? '';
  return /utf-?8/i.test(locale);
}
