// A value as JSON, on one line: for programs that evaluate chunks. Called by lua/results.ts.
//
// A table whose keys are 1 to n is an array, every other one an object, and the empty table {}: what is empty in statistics
// are maps of counters. Keys that are no strings become their text; where two keys then have the same name, the later counts.
import { toText } from './convert.ts';
import { numberText } from './number_text.ts';
import type { Leaf, ValueTree } from './value_tree.ts';

function keyText(key: Leaf): string {
  if ('bytes' in key) return toText(key.bytes);
  if (key.kind === 'number') return numberText(key.value);
  return key.kind === 'boolean' ? String(key.value) : 'nil';
}

/** The JSON of a tree from which nothing was left out. */
export function jsonText(tree: ValueTree): string {
  switch (tree.kind) {
    case 'nil':
      return 'null';
    case 'boolean':
      return String(tree.value);
    case 'number':
      // The shortest digits that mean exactly this number; null for what JSON has no number for.
      return JSON.stringify(tree.value);
    case 'string':
    case 'text':
      return JSON.stringify(toText(tree.bytes));
    case 'table': {
      const { entries, sequence } = tree;
      if (entries.length > 0 && sequence === entries.length) {
        return `[${entries.map(({ value }) => jsonText(value)).join(',')}]`;
      }
      const members = new Map(entries.map(({ key, value }) => [keyText(key), jsonText(value)]));
      return `{${[...members].map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
    }
    default:
      return JSON.stringify(`<${tree.kind}>`);
  }
}
