// The tables of all commands: complete, consistent, and the same as what the C program of the family says of itself.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { helpText, parseCommand } from '../../shell/command/options.ts';
import {
  bricksCommand,
  commands,
  pipeCommand,
  runCommand,
  serverCommand,
  shellCommand,
} from '../../shell/command/tables.ts';
import { projectFolder, run } from '../support/programs.ts';
import { pipeProgram, runProgram } from '../support/readers.ts';

/** Those whose help text comes from C. */
const nativeCommands = [pipeCommand, runCommand];

test('each program of package.json has a table, and each table a program', () => {
  const { bin } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  assert.deepEqual(commands.map(({ name }) => name).sort(), Object.keys(bin).sort());
});

test('names of options are used once, and texts are lines without a full stop', () => {
  for (const { name, options, examples } of commands) {
    const long = options.map((option) => option.long);
    assert.equal(new Set(long).size, long.length, `${name}: ${long}`);
    const short = options.flatMap((option) => option.short ?? []);
    assert.equal(new Set(short).size, short.length, `${name}: ${short}`);
    for (const { text } of options) assert.doesNotMatch(text, /^[A-Z]|\.$/, `${name}: ${text}`);
    for (const { text } of examples) assert.doesNotMatch(text, /^[A-Z]|\.$/, `${name}: ${text}`);
    assert.ok(examples.length >= 2, `${name}: examples`);
  }
});

test('every command has a description, exit statuses and an environment', () => {
  for (const command of commands) {
    assert.ok(command.description.length > 0, command.name);
    for (const heading of ['Exit status', 'Environment']) assert.ok(heading in command.sections, command.name);
    for (const line of helpText(command).split('\n')) {
      const isExample = command.examples.some((example) => line.endsWith(example.line));
      assert.ok(line.length <= 80 || isExample, `${command.name}: ${line}`);
    }
  }
});

test('an option means the same in every command', () => {
  const texts = new Map<string, string>();
  for (const { name, options } of commands.filter((command) => !nativeCommands.includes(command))) {
    for (const option of options) {
      assert.equal(texts.get(option.long) ?? option.text, option.text, `${name}: --${option.long}`);
      texts.set(option.long, option.text);
    }
  }
});

test('examples are command lines that their own commands take', () => {
  for (const command of commands) {
    for (const { line } of command.examples) {
      // The program's own words, without variables before, other programs behind, and quotes.
      const own = new RegExp(`(?:^|[ |])${command.name} ?([^|&>]*)`).exec(line);
      if (own === null) continue;
      const args = [...(own[1] ?? '').matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
      if (command === pipeCommand && args.includes('--list')) continue;
      // What follows the program that it runs is that program's.
      if (command === runCommand)
        args.splice(args.findIndex((word) => !word.startsWith('-')) + 1, Infinity, 'argument');
      assert.doesNotThrow(() => parseCommand(command, args), line);
    }
  }
});

test('bricks takes no letter that the programs it stands for give another meaning', () => {
  for (const other of [serverCommand, shellCommand]) {
    for (const option of bricksCommand.options) {
      const same = other.options.find(({ short }) => short !== undefined && short === option.short);
      assert.ok(same === undefined || same.long === option.long, `-${option.short} of ${other.name}`);
    }
  }
});

test('the tables of native programs say what these say', () => {
  for (const [program, command] of [
    [pipeProgram, pipeCommand],
    [runProgram, runCommand],
  ] as const) {
    const told = [...run(program, ['--help']).matchAll(/^ {2}-(\w), --([\w-]+) *(\S*) {2,}(\S.*)$/gm)].map(
      ([, short, long, value, text]) => ({ long, short, ...(value !== '' && { value }), text }),
    );
    assert.deepEqual(told, command.options, command.name);
  }
});
