// Command lines: parsed from a table, explained from the same table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, commonOptions, helpText, parseCommand, UsageError, usageLine } from '../../shell/options.ts';

const command: Command = {
  name: 'demo',
  text: 'Shows.',
  options: [
    { long: 'file', short: 'f', value: 'path', text: 'a file' },
    { long: 'long-only', value: 'n', text: 'a number' },
    ...commonOptions,
  ],
  positionals: ['IFACE'],
  notes: ['A note.'],
};

test('values, switches and positionals are told apart', () => {
  const parsed = parseCommand(command, ['-f', 'x', '--long-only=3', '-h', 'eth0']);
  assert.deepEqual(parsed.values, { file: 'x', 'long-only': '3' });
  assert.deepEqual([...parsed.switches], ['help']);
  assert.deepEqual(parsed.positionals, ['eth0']);
  assert.deepEqual(parseCommand(command, []), { values: {}, switches: new Set(), positionals: [] });
});

test('what is wrong is said in one line', () => {
  const cases: [string[], RegExp][] = [
    [['--nope'], /^unknown option '--nope'$/],
    [['-x'], /^unknown option '-x'$/],
    [['-f'], /^option '-f, --file <value>' argument missing$/],
    [['--help=1'], /^option '-h, --help' does not take an argument$/],
    [['eth0', 'eth1'], /^unexpected argument 'eth1'$/],
  ];
  for (const [args, text] of cases) {
    assert.throws(
      () => parseCommand(command, args),
      (error: unknown) => error instanceof UsageError && text.test(error.message),
      args.join(' '),
    );
  }
});

test('the help text names every option', () => {
  assert.equal(usageLine(command), 'Usage: demo [-f path] [--long-only n] [-h] [-v] IFACE');
  assert.equal(
    helpText(command),
    `Usage: demo [-f path] [--long-only n] [-h] [-v] IFACE

Shows.

  -f, --file path    a file
      --long-only n  a number
  -h, --help         print this text and exit
  -v, --version      print the version and exit

A note.
`,
  );
});
