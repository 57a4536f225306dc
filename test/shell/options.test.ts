// Command lines: parsed from a table, explained from the same table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Command,
  commonOptions,
  helpText,
  parseCommand,
  UsageError,
  usageLine,
} from '../../shell/command/options.ts';

const command: Command = {
  name: 'demo',
  text: 'Shows.',
  options: [
    { long: 'file', short: 'f', value: 'path', text: 'a file' },
    { long: 'long-only', value: 'n', text: 'a number' },
    ...commonOptions,
  ],
  positionals: ['IFACE', 'N'],
  description: ['A first\n  paragraph.', `A second one, ${'of many words '.repeat(6)}that is filled.`],
  sections: { 'Exit status': { 0: 'success', others: 'failure' }, Files: 'None.' },
  examples: [{ text: 'show it', line: 'demo eth0 2' }],
};

test('values, switches and positionals are told apart', () => {
  const parsed = parseCommand(command, ['-f', 'x', '--long-only=3', '-h', 'eth0', '2']);
  assert.deepEqual(parsed.values, { file: 'x', 'long-only': '3' });
  assert.deepEqual([...parsed.switches], ['help']);
  assert.deepEqual(parsed.positionals, ['eth0', '2']);
  assert.deepEqual(parseCommand(command, ['eth0', '--', '-2']).positionals, ['eth0', '-2']);
});

test('a value that is a command line itself begins with a dash, no other does', () => {
  const other = { long: 'other', value: 'line', takesDash: true, text: 'a command line' };
  const taking: Command = { ...command, options: [...command.options, other] };
  for (const args of [
    ['--other', '-m 512 --no-huge', 'eth0', '2'],
    ['eth0', '--other=-m 512 --no-huge', '2'],
  ])
    assert.deepEqual(parseCommand(taking, args).values, { other: '-m 512 --no-huge' });
  assert.deepEqual(parseCommand(taking, ['--', '--other', 'eth0']).positionals, ['--other', 'eth0']);
  assert.throws(() => parseCommand(taking, ['--long-only', '-3', 'eth0', '2']), UsageError);
  assert.throws(() => parseCommand(taking, ['eth0', '2', '--other']), UsageError);
});

test('help and version need nothing else', () => {
  assert.deepEqual([...parseCommand(command, ['-h']).switches], ['help']);
  assert.deepEqual([...parseCommand(command, ['--version', 'eth0']).switches], ['version']);
});

test('what is wrong is said in one line', () => {
  const cases: [string[], RegExp][] = [
    [['--nope'], /^unknown option '--nope'$/],
    [['-x'], /^unknown option '-x'$/],
    [['-f'], /^option '-f, --file <value>' argument missing$/],
    [['--help=1'], /^option '-h, --help' does not take an argument$/],
    [[], /^IFACE is missing$/],
    [['eth0'], /^N is missing$/],
    [['eth0', '2', 'eth1'], /^unexpected argument 'eth1'$/],
  ];
  for (const [args, text] of cases) {
    assert.throws(
      () => parseCommand(command, args),
      (error: unknown) => error instanceof UsageError && text.test(error.message),
      args.join(' '),
    );
  }
});

test('the help text names every option and fills its lines', () => {
  assert.equal(usageLine(command), 'Usage: demo [-f path] [--long-only n] [-h] [-v] IFACE N');
  assert.equal(
    helpText(command),
    `Usage: demo [-f path] [--long-only n] [-h] [-v] IFACE N

Shows.

  -f, --file path    a file
      --long-only n  a number
  -h, --help         print help and exit
  -v, --version      print the version and exit

A first paragraph.

A second one, of many words of many words of many words of many words of many
words of many words that is filled.

Exit status:
  0       success
  others  failure

Files: None.

Examples:
  # show it
  demo eth0 2
`,
  );
});

test('a term that is too wide for its column has a line of its own', () => {
  const option = { long: 'a-very-long-name', value: 'with-a-long-value', text: 'what it does' };
  const text = helpText({ ...command, options: [...command.options, option] });
  assert.match(text, /^ {6}--a-very-long-name with-a-long-value\n {21}what it does$/m);
});
