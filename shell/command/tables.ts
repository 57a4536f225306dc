// Every command of this package. The programs parse their command lines by these tables, --help and the manual pages
// (man_page.ts) are made from them, and tests run their examples.

import { filterCommand, killServerCommand, shellCommand, topCommand } from './client_tables.ts';
import { pipeCommand, runCommand } from './native_tables.ts';
import { type Command, commonOptions } from './options.ts';
import { duplicateCommand, loadBalanceCommand, serverCommand } from './server_tables.ts';
import { engineOptions, engineVariables, fileOption, promptFiles, promptVariables, runtimeVariable } from './shared.ts';

export {
  duplicateCommand,
  filterCommand,
  killServerCommand,
  loadBalanceCommand,
  pipeCommand,
  runCommand,
  serverCommand,
  shellCommand,
  topCommand,
};

export const bricksCommand: Command = {
  name: 'bricks',
  text: 'Distributes the packets of an interface or a capture to applications, as a Lua script says.',
  options: [
    fileOption,
    ...engineOptions,
    { long: 'drivers', text: 'list the port drivers, say of each that it is available or why it is not, and exit' },
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
    { text: 'which kinds of ports there are on this machine', line: 'bricks --drivers' },
    { text: 'a script from standard input', line: `echo 'print(BRICKS.version)' | bricks` },
  ],
};

export const extcapCommand: Command = {
  name: 'bricks-extcap',
  text: 'Makes pipes interfaces of Wireshark and tshark.',
  options: [
    { long: 'install', text: 'install it, for this user: pipes are in the list of interfaces from then on' },
    { long: 'uninstall', text: 'remove what --install has installed' },
    { long: 'system', text: 'do it for all users of this machine; that is for root' },
    {
      long: 'folder',
      value: 'folder',
      text: 'use this extcap folder instead: tshark -G folders names the one of all users',
    },
    ...commonOptions,
  ],
  positionals: [],
  description: [
    `Pipe eth3}0 is the interface bricks:eth3:0. As with bricks-pipe there is one reader at a time, it is Wireshark's user who
must be allowed to read it, and Wireshark must have the engine's runtime directory in its environment. Capture filters
need libpcap.`,
    `What is installed is a script that starts a program of this package. It survives upgrades of the package in its place,
but is faster when it is installed anew; after the package or Node.js was moved it must be. A file of somebody else is not
touched.`,
    `Wireshark itself runs the script as extcap(4) says, with options that begin with --extcap and --capture. Of its own it has
two, which Wireshark shows as options of the interface: --wait (where no engine serves the pipe, wait until one does) and
--snaplen (how many bytes are kept of each packet).`,
  ],
  sections: {
    Environment: {
      ...runtimeVariable,
      XDG_CONFIG_HOME: 'where the folder wireshark/extcap is that Wireshark to 4.0 looks into (default ~/.config)',
    },
    Files: {
      '~/.config/wireshark/extcap': 'the extcap folder of this user, for Wireshark to 4.0',
      '~/.local/lib/wireshark/extcap': 'the same from Wireshark 4.2 on',
    },
    'Exit status': {
      '0': 'success',
      '1': 'the folder cannot be written, or the file there is not ours; the capture has failed',
      '2': 'wrong usage',
    },
  },
  examples: [
    { text: 'install it for this user', line: 'bricks-extcap --install' },
    { text: 'show ten packets of a pipe', line: 'tshark -i bricks:eth3:0 -c 10' },
    { text: 'remove it', line: 'bricks-extcap --uninstall' },
  ],
};

export const scriptCommand: Command = {
  name: 'bricks-script',
  text: 'Shows the packets of a pipe to a script in Lua, JavaScript or TypeScript, and sends them on as it says.',
  options: [
    { long: 'from', value: 'pipe', text: 'where packets come from: an output of an engine, such as eth3}0' },
    {
      long: 'to',
      value: 'pipe',
      text: 'where they go to: an input of an engine. Without it the script only looks at them',
    },
    { long: 'outputs', value: 'N', text: 'how many outputs the script may choose from (default 1)' },
    { long: 'wait', short: 'w', text: 'wait until an engine serves the pipes' },
    ...commonOptions,
  ],
  positionals: ['FILE', '[ARGUMENT]'],
  description: [
    `FILE is the script: .lua, .js, .mjs, .cjs, .ts or .mts; it is looked for in the package as well. Lua finds ARGUMENT in arg[1],
JavaScript in process.argv[2]. What it prints is printed. README.md of the brick Script says what scripts look like.`,
    `The brick Script starts this program beside its engine, with both pipes; this is how a script is tried on its own. Types of
TypeScript are stripped, not checked: what is not only types, such as enum, is an error.`,
    `The script's function finish is called at the end of the packets, and on SIGTERM or SIGINT; one that comes later ends
a script that does not come to its end.`,
  ],
  sections: {
    Environment: runtimeVariable,
    'Exit status': {
      '0': 'the packets have ended, or SIGTERM or SIGINT came',
      '1': 'the script failed: one line says where and why; or a pipe cannot be used',
      '2': 'wrong usage',
      others: 'what a script gave to os.exit() or process.exit()',
    },
  },
  examples: [
    {
      text: 'count the names asked for in DNS, for ten seconds',
      line: `timeout --preserve-status 10 bricks-script --from 'eth3}0' bricks/script/examples/dns_count.ts`,
    },
    {
      text: 'the same in Lua, of another pipe',
      line: `timeout --preserve-status 10 bricks-script --from 'eth3}1' bricks/script/examples/dns_count.lua`,
    },
  ],
};

/** All of them. */
export const commands: readonly Command[] = [
  bricksCommand,
  serverCommand,
  shellCommand,
  topCommand,
  filterCommand,
  killServerCommand,
  loadBalanceCommand,
  duplicateCommand,
  pipeCommand,
  extcapCommand,
  runCommand,
  scriptCommand,
];
