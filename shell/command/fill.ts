// Words into lines of at most 80 columns: help texts (options.ts) and the sources of manual pages (man_page.ts).

const columnsMax = 80;

/** The words of a text, whatever its line breaks. */
export function wordsOf(text: string): string[] {
  return text.trim().split(/\s+/);
}

/** Lines of words. The first line follows `lead`; the others are indented, by default to where `lead` ends. */
export function fill(words: readonly string[], lead = '', indent = lead.length): string[] {
  const lines: string[] = [];
  let line = lead;
  let isBare = true;
  for (const word of words) {
    if (!isBare && line.length + 1 + word.length > columnsMax) {
      lines.push(line);
      line = ' '.repeat(indent);
      isBare = true;
    }
    line += isBare ? word : ` ${word}`;
    isBare = false;
  }
  return [...lines, line];
}
