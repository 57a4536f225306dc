// Reads what Prometheus reads: the text exposition format 0.0.4, strictly, to check what the daemon serves.
// https://prometheus.io/docs/instrumenting/exposition_formats/
import assert from 'node:assert/strict';

/** A family of samples. */
export interface Family {
  readonly type: string;
  readonly help: string;
  /** Values by their labels, in alphabetical order: `engine="e0",port="pipe:x"`, unescaped. */
  readonly values: Map<string, number>;
}

const escapes: Readonly<Record<string, string>> = { n: '\n', '"': '"', '\\': '\\' };

function unescapeText(text: string): string {
  return text.replace(/\\(.)/g, (_, sign: string) => {
    const meant = escapes[sign];
    assert.ok(meant !== undefined, `\\${sign} in ${text}`);
    return meant;
  });
}

/** Labels as the key of a value. */
export function labelKey(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .sort()
    .join(',');
}

function parseLabels(text: string): string {
  const labels: Record<string, string> = {};
  const pattern = /([a-zA-Z_]\w*)="((?:[^"\\\n]|\\.)*)"(,|$)/y;
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const [, name = '', value = ''] = pattern.exec(text) ?? assert.fail(`labels: ${text.slice(at)}`);
    assert.ok(!(name in labels), `label ${name} twice`);
    labels[name] = unescapeText(value);
  }
  return labelKey(labels);
}

/** The families of a text, by name. Fails on anything that the format forbids. */
export function parseExposition(text: string): Map<string, Family> {
  assert.ok(text.endsWith('\n'), 'ends with a line break');
  const families = new Map<string, Family>();
  let help: { name: string; text: string } | undefined;
  let current: { name: string; family: Family } | undefined;
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment?.[1] === 'HELP') {
      help = { name: comment[2] ?? '', text: unescapeText(comment[3] ?? '') };
    } else if (comment !== null) {
      const name = comment[2] ?? '';
      assert.ok(help?.name === name, `${name}: HELP comes before TYPE`);
      assert.ok(!families.has(name), `${name} twice`);
      current = { name, family: { type: comment[3] ?? '', help: help.text, values: new Map() } };
      families.set(name, current.family);
    } else if (line !== '') {
      const [, name, labels = '', value] =
        /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (-?\d+(?:\.\d+)?)$/.exec(line) ?? assert.fail(`sample: ${line}`);
      assert.ok(current !== undefined && current.name === name, `${line}: stands with its family`);
      const key = parseLabels(labels);
      assert.ok(!current.family.values.has(key), `${line} twice`);
      current.family.values.set(key, Number(value));
    }
  }
  return families;
}
