// The table of errors: each text is one line with a name and a remedy, and each code is used somewhere.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BricksError, type ErrorCode, errorTexts } from '../../index.ts';
import { projectFolder } from '../support/programs.ts';

const codes = Object.keys(errorTexts) as ErrorCode[];

function sources(folder: string): string[] {
  return readdirSync(join(projectFolder, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === 'build' ? [] : sources(path);
    return /\.ts$/.test(entry.name) ? [readFileSync(join(projectFolder, path), 'utf8')] : [];
  });
}

test('every text is one line, names the thing and says what to do', () => {
  for (const code of codes) {
    const text = errorTexts[code];
    assert.doesNotMatch(text, /\n|\.$/, code);
    assert.match(text, /\{[a-z]+\}/, `${code} names the thing`);
    // NATIVE_MISSING carries the whole text of native/build.ts.
    if (code !== 'NATIVE_MISSING') assert.match(text, /; |;$|; run /, `${code} ends with the remedy: ${text}`);
  }
});

test('details fill every placeholder', () => {
  for (const code of codes) {
    const names = [...errorTexts[code].matchAll(/\{([a-z]+)\}/g)].map(([, name = '']) => name);
    const error = BricksError.of(code, Object.fromEntries(names.map((name) => [name, `<${name}>`])));
    assert.equal(error.code, code);
    assert.ok(error instanceof Error && error.name === 'BricksError');
    for (const name of names) assert.ok(error.message.includes(`<${name}>`), code);
    assert.doesNotMatch(error.message, /\{[a-z]+\}/, code);
  }
});

test('a value that looks like a placeholder stays as it is', () => {
  assert.match(BricksError.of('ENGINE_EXISTS', { engine: '{engine}' }).message, /"\{engine\}"/);
  assert.match(BricksError.of('ENGINE_EXISTS', { engine: '$&' }).message, /"\$&"/);
});

test('every code is raised somewhere in the sources', () => {
  const text = ['engine', 'bricks', 'lua', 'shell'].flatMap(sources).join('\n');
  const unused = codes.filter((code) => !text.includes(`'${code}'`));
  assert.deepEqual(unused, []);
});

test('a failure of the data plane has the name of its errno as code', () => {
  const error = BricksError.native(-19, 'port "packet:eth9": cannot open for input: no such interface; have: lo, eth0');
  assert.deepEqual(
    [error.code, error.message],
    ['ENODEV', 'port "packet:eth9": cannot open for input: no such interface; have: lo, eth0'],
  );
  // Numbers that Node has no name of, and that nobody has.
  assert.equal(BricksError.native(-74, '').code, 'EBADMSG');
  assert.equal(BricksError.native(-122, '').code, 'EDQUOT');
  assert.match(BricksError.native(-4000, '').code, /-4000/);
});
