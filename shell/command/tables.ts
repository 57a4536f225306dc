// Every command of this package. The programs parse their command lines by these tables, --help and the manual pages
// (man_page.ts) are made from them, and tests run their examples.

import { killServerCommand, shellCommand, topCommand } from './client_tables.ts';
import { type Command, commonOptions } from './options.ts';
import { duplicateCommand, loadBalanceCommand, serverCommand } from './server_tables.ts';
import { engineOptions, engineVariables, fileOption, promptFiles, promptVariables, runtimeVariable } from './shared.ts';

export { duplicateCommand, killServerCommand, loadBalanceCommand, serverCommand, shellCommand, topCommand };

export const bricksCommand: Command = {
  name: 'bricks',
  text: 'Distributes the packets of an interface or a capture to applications, as a Lua script says.',
  options: [
    fileOption,
    ...engineOptions,
    {
      long: 'daemon',
      short: 'd',
      text: 'detach and run as a daemon: the same as bricks-server, whose options it takes then',
    },
    {
      long: 'shell',
      short: 's',
      text: 'attach to the daemon: the same as bricks-shell, whose options it takes then',
    },
    ...commonOptions,
  ],
  positionals: [],
  description: [
    `On a terminal a prompt follows the script; BRICKS.help() says what can be typed there, Ctrl-D ends it. Without a
terminal the script is read from -f or standard input, and bricks stays until it gets SIGINT or SIGTERM, or until no
engine has anything left to do.`,
    `help() at the prompt lists the functions of Lua, the bricks and the port drivers; help("BRICKS.sleep"),
help("LoadBalancer") and help("pcap") show one of them with its options and an example. The README of the package says how
ports are named.`,
    `However it ends, engines are stopped, captures flushed and final statistics printed. Engines that are to go on without
a terminal are for bricks-server.`,
  ],
  sections: {
    Environment: { ...engineVariables, ...promptVariables },
    Files: promptFiles,
    'Exit status': {
      '0': 'success, also after SIGINT or SIGTERM',
      '1': 'the script failed, or a capture was not read or written whole',
      '2': 'wrong usage',
      others: 'what the script gave to os.exit()',
    },
  },
  examples: [
    { text: 'see it work on a capture that comes with it', line: 'bricks -f scripts/startup-demo.lua' },
    { text: 'balance eth3 over four pipes', line: 'bricks -f scripts/startup-one-thread.lua' },
    { text: 'a script from standard input', line: `echo 'print(BRICKS.version)' | bricks` },
  ],
};

/** The native program; its command line is taken apart in native/pipe/bricks_pipe.c, and a test compares the two. */
export const pipeCommand: Command = {
  name: 'bricks-pipe',
  text: 'Writes the packets of a pipe to standard output, as a capture that tcpdump, Wireshark and others read.',
  options: [
    { long: 'count', short: 'c', value: 'N', text: 'stop after N packets' },
    { long: 'list', short: 'l', text: 'list the pipes of this machine and leave' },
    { long: 'quiet', short: 'q', text: 'no summary at the end' },
    { long: 'wait', short: 'w', text: 'wait until an engine serves the pipe' },
    { long: 'help', short: 'h', text: 'show this help' },
    { long: 'version', short: 'v', text: 'show the version' },
  ],
  positionals: ['NAME'],
  description: [
    `NAME is the application's end of the pipe, such as eth3}0; with --list there is none. A pipe has one reader at a time,
which may start before the engine (--wait), come late, leave and come back. The capture is in libpcap format with
nanoseconds.`,
  ],
  sections: {
    Environment: runtimeVariable,
    'Exit status': {
      '0': 'the end of the stream, after N packets or when interrupted',
      '1': 'an error',
      '2': 'wrong usage',
    },
  },
  examples: [
    { text: 'the pipes there are', line: 'bricks-pipe --list' },
    { text: 'look at ten packets', line: `bricks-pipe -c 10 'eth3}0' | tcpdump -nr -` },
    { text: 'wait for the engine, and keep a hundred packets', line: `bricks-pipe -w -c 100 'eth3}0' > first.pcap` },
  ],
};

/** All of them. */
export const commands: readonly Command[] = [
  bricksCommand,
  serverCommand,
  shellCommand,
  topCommand,
  killServerCommand,
  loadBalanceCommand,
  duplicateCommand,
  pipeCommand,
];
