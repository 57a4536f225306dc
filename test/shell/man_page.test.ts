// Manual pages: sound mdoc, and everything that the tables say is in what readers see.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ManPageContext, manPage } from '../../shell/command/man_page.ts';
import type { Command } from '../../shell/command/options.ts';
import { commands } from '../../shell/command/tables.ts';
import { makeFolder } from '../support/files.ts';
import { projectFolder, run, skipWithout } from '../support/programs.ts';

const context: ManPageContext = { version: '1.2.3', date: new Date('2026-11-05T23:00:00Z'), commands };

/** Bold is a letter, a backspace and the letter again. */
const overstruck = new RegExp(`.${String.fromCharCode(8)}`, 'g');

/** A page as text without overstriking, and with every run of blanks as one. */
function shown(page: string): string {
  const text = run('mandoc', ['-Tascii', '-Owidth=1000'], page);
  return text.replaceAll(overstruck, '').replace(/\s+/g, ' ');
}

const oneLine = (text: string): string => text.trim().replace(/\s+/g, ' ');

/** The first letter may be another one: phrases of tables become sentences. */
function assertSays(page: string, text: string, name: string): void {
  assert.ok(page.includes(oneLine(text).slice(1)), `${name}: "${oneLine(text)}" is missing in:\n${page}`);
}

test('pages hold all that the tables say', { skip: skipWithout('mandoc') }, () => {
  for (const command of commands) {
    const page = shown(manPage(command, context));
    for (const { short, long, value, text } of command.options) {
      const argument = value === undefined ? '' : ` ${value}`;
      const names = `${short === undefined ? '' : `-${short}${argument}, `}--${long}${argument} `;
      assertSays(page, ` ${names}${text.charAt(0).toUpperCase()}${oneLine(text.slice(1))}.`, command.name);
      assertSays(page, ` [${short === undefined ? `--${long}` : `-${short}`}${argument}]`, command.name);
    }
    for (const paragraph of command.description) assertSays(page, paragraph, command.name);
    for (const [heading, section] of Object.entries(command.sections)) {
      assert.ok(page.includes(` ${heading.toUpperCase()} `), heading);
      for (const text of typeof section === 'string' ? [section] : Object.entries(section).flat())
        assertSays(
          page,
          ` ${text}`.replace(/^ (.)/, (first) => (/[a-z]/.test(first) ? ' ' : first)),
          command.name,
        );
    }
    for (const { text, line } of command.examples) {
      assertSays(page, text, command.name);
      assertSays(page, ` ${line}`, command.name);
    }
    for (const other of commands) assert.equal(page.includes(` ${other.name}(1)`), other !== command, other.name);
  }
});

test('mandoc and groff have nothing to say against the pages', { skip: skipWithout('mandoc', 'groff') }, (t) => {
  for (const command of commands) {
    const file = join(makeFolder(t), `${command.name}.1`);
    writeFileSync(file, manPage(command, context));
    const lint = spawnSync('mandoc', ['-Tlint', '-Wwarning', file], { encoding: 'utf8' });
    assert.deepEqual([lint.stdout, lint.status], ['', 0]);
    const groff = spawnSync('groff', ['-mdoc', '-Tascii', '-ww', '-z', file], { encoding: 'utf8' });
    assert.deepEqual([groff.stderr, groff.status], ['', 0]);
  }
});

test('what roff would take for itself is shown as it is', { skip: skipWithout('mandoc') }, () => {
  const command: Command = {
    name: 'demo-x',
    text: 'Shows.',
    options: [{ long: 'file', value: '-', text: 'Fl is no macro here, nor is a \\e' }],
    positionals: ['IFACE', 'N'],
    description: ['.Sh starts a line. Nm stands in "quotes". \'tis ~/x, a^b and `c`.'],
    sections: { Files: { '~/a "b" Fl': 'a file' } },
    examples: [{ text: 'do', line: `.x 'a' "b" --c \\d` }],
  };
  const page = shown(manPage(command, context));
  for (const text of [
    'demo-x [--file -] IFACE N',
    '.Sh starts a line. Nm stands in "quotes". \'tis ~/x, a^b and `c`.',
    '--file - Fl is no macro here, nor is a \\e.',
    '~/a "b" Fl A file.',
    `Do: .x 'a' "b" --c \\d`,
    'packet-bricks 1.2.3 November 5, 2026',
  ])
    assert.ok(page.includes(text), `${text}\n${page}`);
});

test('package.json installs every page', () => {
  const { man } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as { man: string[] };
  assert.deepEqual(man.sort(), commands.map(({ name }) => `./dist/man/${name}.1`).sort());
});
