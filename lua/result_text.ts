// A value as people read it: what the prompt shows of what a chunk returns. Called by lua/results.ts.
import { toText } from './convert.ts';
import { numberText } from './number_text.ts';
import { cutText } from './text_limit.ts';
import type { Entry, Leaf, TableTree, ValueTree } from './value_tree.ts';

/** A table that is not longer stands on one line. */
const lineWidth = 80;

const keywords = new Set(
  'and break do else elseif end false for function goto if in local nil not or repeat return then true until while'.split(
    ' ',
  ),
);

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', '\\': '\\\\' };

/** A string as Lua source has it; bytes that are not UTF-8 as `\xff`. */
function quoted(bytes: Uint8Array): string {
  const text = toText(bytes);
  // Where something was replaced, characters are bytes.
  const isUtf8 = Buffer.from(text).equals(bytes);
  const pattern = isUtf8 ? /[\p{Cc}"\\]/gu : /[^ -~]|["\\]/g;
  const escaped = (isUtf8 ? text : Buffer.from(bytes).toString('latin1')).replace(pattern, (character) => {
    const code = character.charCodeAt(0).toString(16).padStart(2, '0');
    return escapes[character] ?? (isUtf8 && character > '\x7f' ? `\\u{${code}}` : `\\x${code}`);
  });
  return `"${escaped}"`;
}

function leafText(leaf: Leaf): string {
  switch (leaf.kind) {
    case 'nil':
      return 'nil';
    case 'boolean':
      return String(leaf.value);
    case 'number':
      return numberText(leaf.value);
    case 'string':
      return quoted(leaf.bytes);
    case 'text':
      // Engines and bricks have several lines.
      return toText(leaf.bytes).replaceAll(/\s+/g, ' ');
  }
}

function entryPrefix(table: TableTree, index: number, key: Leaf): string {
  if (index < table.sequence) return '';
  const name = key.kind === 'string' ? toText(key.bytes) : '';
  return /^[A-Za-z_]\w*$/.test(name) && !keywords.has(name) ? `${name} = ` : `[${leafText(key)}] = `;
}

/** The parts of a table, as `text` makes them of its values. */
function parts(table: TableTree, text: (entry: Entry, prefix: string) => string): string[] {
  const texts = table.entries.map((entry, i) => text(entry, entryPrefix(table, i, entry.key)));
  return table.cut === 0 ? texts : [...texts, `... (cut: ${table.cut} more entries)`];
}

function oneLine(tree: ValueTree): string {
  if (tree.kind === 'cycle') return '<cycle>';
  if (tree.kind === 'deep') return '{...}';
  if (tree.kind !== 'table') return leafText(tree);
  if (tree.entries.length === 0 && tree.cut === 0) return '{}';
  return `{ ${parts(tree, ({ value }, prefix) => prefix + oneLine(value)).join(', ')} }`;
}

/** @param column where the text begins */
function lines(tree: ValueTree, indent: string, column: number): string {
  const short = oneLine(tree);
  if (tree.kind !== 'table' || column + short.length < lineWidth) return short;
  const inner = `${indent}  `;
  const texts = parts(tree, ({ value }, prefix) => prefix + lines(value, inner, inner.length + prefix.length));
  return `{\n${texts.map((text) => `${inner}${text},\n`).join('')}${indent}}`;
}

/** The text of a value that is no string: a table with its fields, at most `bytesMax` bytes. */
export function resultText(tree: ValueTree, bytesMax: number): string {
  if (tree.kind === 'text') return cutText(tree.bytes, bytesMax);
  return cutText(lines(tree, '', 0), bytesMax);
}
