// The commands that talk to a running daemon: bricks-shell, bricks-top, bricks-filter, bricks-kill-server.
import { logLevels } from '../protocol/messages.ts';
import { keyTexts } from '../top/view.ts';
import { type Command, commonOptions } from './options.ts';
import { controlFiles, promptFiles, promptVariables, runtimeVariable } from './shared.ts';

export const shellCommand: Command = {
  name: 'bricks-shell',
  text: 'Runs Lua in the daemon: from a prompt, from its arguments, or from standard input.',
  options: [
    { long: 'execute', short: 'e', value: 'code', text: 'run this code, print its results, and end' },
    {
      long: 'json',
      short: 'j',
      text: 'print results as JSON, one line each',
    },
    {
      long: 'follow-log',
      short: 'F',
      value: 'level',
      text: `print the daemon's log as it grows, from this level on (${logLevels.join(', ')}), until Ctrl-C`,
    },
    ...commonOptions,
  ],
  positionals: [],
  description: [
    `On a terminal bricks-shell is a prompt: BRICKS.help() says what can be typed, Tab completes, Ctrl-C ends what runs, Ctrl-D leaves.
The daemon and its engines go on. Without a terminal, and without -e, the script on standard input is run. With --json
what Lua prints goes to standard error.`,
    `Several shells may be used at once. They share one Lua: what one defines the others see, but each sees only what its
own code prints.`,
  ],
  sections: {
    Environment: { ...runtimeVariable, ...promptVariables },
    Files: { ...controlFiles, ...promptFiles },
    'Exit status': {
      '0': 'success',
      '1': 'the code failed, or there is no daemon',
      '2': 'wrong usage',
      '130': 'interrupted (SIGINT)',
      others: 'what the code gave to os.exit(), which ends the shell and not the daemon',
    },
  },
  examples: [
    { text: 'what the engines have done', line: `bricks-shell -e 'BRICKS.show_stats()'` },
    { text: 'the same for programs', line: `bricks-shell --json -e 'BRICKS.stats()'` },
    { text: 'a script from standard input', line: `echo 'print(BRICKS.version)' | bricks-shell` },
  ],
};

export const killServerCommand: Command = {
  name: 'bricks-kill-server',
  text: 'Ends the daemon and waits until it has ended.',
  options: commonOptions,
  positionals: [],
  description: [
    `The daemon is asked over its control socket. It stops its engines, flushes captures and writes the final statistics
to its log, as it does for SIGTERM.`,
  ],
  sections: {
    Environment: runtimeVariable,
    Files: controlFiles,
    'Exit status': { '0': 'the daemon has ended', '1': 'there was none, or it did not end', '2': 'wrong usage' },
  },
  examples: [
    { text: 'end the daemon', line: 'bricks-kill-server' },
    {
      text: 'start it anew with another script',
      line: 'bricks-kill-server && bricks-server -f scripts/startup-multi-threads.lua',
    },
  ],
};

export const topCommand: Command = {
  name: 'bricks-top',
  text: 'Shows what the engines of the daemon do: rates, drops and pipes, as they change.',
  options: [
    { long: 'once', short: '1', text: 'print the picture once, as plain text' },
    { long: 'interval', short: 'i', value: 'seconds', text: 'the time between two pictures, 0.1 to 3600 (default 1)' },
    { long: 'ascii', text: 'draw with plain ASCII characters' },
    ...commonOptions,
  ],
  positionals: [],
  description: [
    `Engines are shown as the graphs they are: inputs, bricks, and where the packets go, with rates, drops by their reason,
and for each pipe how full it is and who reads it. When the daemon is restarted, the picture goes on with the new one.
Leaving it disturbs nothing.`,
  ],
  sections: {
    Keys: Object.fromEntries(keyTexts),
    Environment: runtimeVariable,
    Files: controlFiles,
    'Exit status': { '0': 'success', '1': 'there is no daemon, or it has ended', '2': 'wrong usage' },
  },
  examples: [
    { text: 'the picture of now, for a log or a mail', line: 'bricks-top --once' },
    { text: 'the same without box-drawing characters', line: 'bricks-top --once --ascii' },
  ],
};

export const filterCommand: Command = {
  name: 'bricks-filter',
  text: 'Adds, removes and lists the rules of a Filter while its engine runs.',
  options: [
    { long: 'engine', short: 'e', value: 'name', text: 'the engine of the Filter; needed where several have one' },
    {
      long: 'filter',
      short: 'n',
      value: 'N',
      text: 'which Filter of the engine, from 0; needed where it has several',
    },
    { long: 'json', short: 'j', text: 'print results as JSON, one line each' },
    ...commonOptions,
  ],
  positionals: ['COMMAND', '[ARGUMENT]...'],
  description: [
    `add FIELD=VALUE... adds a rule and prints its id. remove ID... removes rules. list shows them with the packets and bytes
that they have decided. clear removes all of them.`,
    `The fields are those of the brick's README. type is connection (src, dst, proto, sport, dport: both directions), flow (the
same in one direction: src and dst may be prefixes, what is left out matches anything), ip or mac (address, at either end).
action is drop, pass, mirror or output; the last two have an output. priority, start (seconds since 1970) and duration_s
are optional.`,
    `Rules last until they are removed or have expired, or the daemon ends; an engine may stop and start meanwhile. No packet is
lost by a change.`,
    `A program that changes rules often had better keep a connection to the control socket: JSON.md of the daemon says what to
write there.`,
  ],
  sections: {
    Environment: runtimeVariable,
    Files: controlFiles,
    'Exit status': {
      '0': 'success',
      '1': 'the rule was refused, there is no such rule, or there is no daemon',
      '2': 'wrong usage',
    },
  },
  examples: [
    {
      text: 'take a connection off the monitor for ten minutes',
      line: `bricks-filter add type=connection src=10.0.0.1 dst=10.0.0.2 proto=tcp sport=50000 dport=443 action=drop duration_s=600`,
    },
    {
      text: 'what DNS servers say, to output 1 as well',
      line: 'bricks-filter add type=flow proto=udp sport=53 action=mirror output=1',
    },
    { text: 'what rules there are', line: 'bricks-filter list' },
    { text: 'the same for programs', line: 'bricks-filter --json list' },
    { text: 'remove two of them', line: 'bricks-filter remove 1 2' },
  ],
};
