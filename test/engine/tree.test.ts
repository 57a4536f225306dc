// The source tree itself: sizes, opening comments, layers, and what each brick's folder holds.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFolder } from '../support/programs.ts';

const folders = ['bricks', 'engine', 'lua', 'native', 'scripts', 'shell', 'test'];
const ignored = new Set(['build', 'node_modules', 'fixtures']);

interface Source {
  readonly path: string;
  readonly lines: readonly string[];
}

function walk(folder: string): Source[] {
  return readdirSync(join(projectFolder, folder), { withFileTypes: true }).flatMap((entry): Source[] => {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ignored.has(entry.name) ? [] : walk(path);
    if (!/\.(ts|c|h|lua)$/.test(entry.name)) return [];
    return [{ path, lines: readFileSync(join(projectFolder, path), 'utf8').split('\n') }];
  });
}

const files = [
  ...folders.flatMap(walk),
  ...readdirSync(projectFolder)
    .filter((name) => name.endsWith('.ts'))
    .map((path) => ({ path, lines: readFileSync(join(projectFolder, path), 'utf8').split('\n') })),
];

/** The comment a file opens with, behind a `#!` line. */
function openingComment({ lines }: Source): string {
  const from = lines[0]?.startsWith('#!') ? 1 : 0;
  if (lines[from]?.startsWith('/*')) {
    const end = lines.findIndex((line, i) => i >= from && line.includes('*/'));
    return lines.slice(from, end + 1).join('\n');
  }
  const end = lines.findIndex((line, i) => i >= from && !/^(\/\/|--)/.test(line));
  return lines.slice(from, end).join('\n');
}

const paths = (list: readonly Source[]): string[] => list.map(({ path }) => path);

test('every source file opens with a comment that says what it is for', () => {
  assert.ok(files.length > 80);
  assert.deepEqual(paths(files.filter((file) => openingComment(file).length < 20)), []);
});

test('a file of more than 450 lines outside test/ gives its reason in the opening comment', () => {
  const long = files.filter(({ path, lines }) => !path.startsWith('test/') && lines.length > 450);
  assert.deepEqual(paths(long.filter((file) => !/\blong|lines|one file\b/i.test(openingComment(file)))), []);
});

test('no line is longer than 140 characters', () => {
  const long = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) =>
      line.length > 140 && path !== 'engine/abi.ts' ? [`${path}:${i + 1}: ${line.length}`] : [],
    ),
  );
  assert.deepEqual(long, []);
});

test('nothing is left to do in a comment', () => {
  const marks = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['X', 'XX'].join('')})\\b`);
  const found = files.flatMap(({ path, lines }) =>
    lines.flatMap((line, i) => (marks.test(line) ? [`${path}:${i + 1}`] : [])),
  );
  assert.deepEqual(found, []);
});

test('no tabs in TypeScript, a line break at the end of every file', () => {
  const bad = files.filter(
    ({ path, lines }) => (path.endsWith('.ts') && lines.some((line) => line.startsWith('\t'))) || lines.at(-1) !== '',
  );
  assert.deepEqual(paths(bad), []);
});

test('every folder of a brick holds NAME.ts, NAME.c, README.md and example.lua', () => {
  const bricks = readdirSync(join(projectFolder, 'bricks'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  assert.ok(bricks.length >= 6);
  for (const { name } of bricks) {
    const held = readdirSync(join(projectFolder, 'bricks', name));
    assert.deepEqual(
      [`${name}.ts`, `${name}.c`, 'README.md', 'example.lua'].filter((file) => !held.includes(file)),
      [],
      name,
    );
  }
});

/** What each folder may import from, itself besides. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  native: [],
  engine: ['native'],
  bricks: ['engine', 'native'],
  lua: ['bricks', 'engine', 'native'],
  shell: ['lua', 'bricks', 'engine', 'native'],
};

function imports({ path, lines }: Source): string[] {
  const folder = path.split('/').slice(0, -1);
  const text = lines.join('\n');
  return [...text.matchAll(/(?:from|import\(|import) *'(\.[^']*)'/g)].map(([, target = '']) => {
    const parts = [...folder];
    for (const part of target.split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '.') parts.push(part);
    }
    return parts.join('/');
  });
}

test('imports point one way: shell → lua → bricks → engine → native', () => {
  const wrong = files
    .filter(({ path }) => path.endsWith('.ts') && (path.split('/')[0] ?? '') in mayImport)
    .flatMap((file) => {
      const own = file.path.split('/')[0] ?? '';
      return imports(file)
        .filter(
          (target) =>
            target.includes('/') &&
            target.split('/')[0] !== own &&
            !mayImport[own]?.includes(target.split('/')[0] ?? ''),
        )
        .map((target) => `${file.path} imports ${target}`);
    });
  assert.deepEqual(wrong, []);
});

test('a brick imports no other brick', () => {
  const wrong = files
    .filter(({ path }) => /^bricks\/\w+\//.test(path) && path.endsWith('.ts'))
    .flatMap((file) =>
      imports(file).filter(
        (target) =>
          target.startsWith('bricks/') && !file.path.startsWith(`${target.split('/').slice(0, 2).join('/')}/`),
      ),
    );
  assert.deepEqual(wrong, []);
});

test('only engine/native.ts imports koffi', () => {
  const importers = files.filter(({ lines }) =>
    lines.some((line) => /(from|import|import\(|require\() *'koffi/.test(line)),
  );
  assert.deepEqual(paths(importers), ['engine/native.ts']);
});

test('C includes keep the layers: ports and pipes know no bricks, bricks no ports', () => {
  const wrong = files.flatMap(({ path, lines }) =>
    lines
      .filter((line) => line.startsWith('#include "'))
      .filter(
        (line) =>
          (/^native\/(ports|pipe|core)\//.test(path) && /bricks\/|engine\/(graph|brick)/.test(line)) ||
          (/^bricks\//.test(path) && /ports\/|pipe\//.test(line)) ||
          (/^native\/core\//.test(path) && /ports\/|engine\/|pipe\//.test(line)),
      )
      .map((line) => `${path}: ${line}`),
  );
  assert.deepEqual(wrong, []);
});
