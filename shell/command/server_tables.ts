// The commands that run the daemon: bricks-server, and the front ends that start it with a script of their own.
import { logLevels } from '../protocol/messages.ts';
import { type Command, type CommandOption, commonOptions } from './options.ts';
import { engineOptions, engineVariables, fileOption } from './shared.ts';

/** What every command that starts the daemon takes. */
const serverOptions: readonly CommandOption[] = [
  ...engineOptions,
  {
    long: 'foreground',
    text: 'stay in the foreground, for service managers; says when it is ready over NOTIFY_SOCKET',
  },
  {
    long: 'group',
    value: 'name',
    text: 'let members of this group use the control socket (mode 0660; default 0600)',
  },
  {
    long: 'log',
    value: 'file',
    text: `where the log goes; - for standard error (default bricks-server.log in the runtime directory; with
--foreground standard error)`,
  },
  {
    long: 'log-level',
    value: 'level',
    text: `the least important messages that are logged: ${logLevels.join(', ')} (default info)`,
  },
  {
    long: 'metrics',
    value: 'host:port',
    text: 'serve counters to Prometheus at http://host:port/metrics; a port alone means 127.0.0.1',
  },
  { long: 'keep-going', text: 'stay although the startup script failed' },
  ...commonOptions,
];

const serverSections: Command['sections'] = {
  Signals: {
    'SIGTERM, SIGINT': 'stop the engines, flush captures, write the final statistics to the log, and end',
    SIGHUP: 'open the log file anew, after it was moved away',
  },
  Environment: {
    ...engineVariables,
    NOTIFY_SOCKET: 'where a service manager wants to hear that the daemon is ready or ends, as sd_notify(3) says',
  },
  Files: {
    'control.sock': 'the control socket; this file and the others are in the runtime directory',
    'bricks-server.pid': 'the process id of the daemon',
    'status.json': 'the counters of all engines, written anew while the daemon runs',
    'bricks-server.log': 'the log',
  },
  'Exit status': {
    '0': 'the daemon runs; in the foreground: it has ended as it was asked to',
    '1': 'the startup script failed, or a daemon with this runtime directory runs already',
    '2': 'wrong usage',
  },
};

export const serverCommand: Command = {
  name: 'bricks-server',
  text: 'Runs packet-bricks as a daemon: engines go on without a terminal, and bricks-shell talks to them.',
  options: [fileOption, ...serverOptions],
  positionals: [],
  description: [
    `bricks-server runs the startup script, detaches, and is controlled over a Unix socket in the runtime directory: by bricks-shell
(a prompt, or Lua from other programs), bricks-top (a dashboard) and bricks-kill-server. It returns when the startup
script has ended, so that what comes next finds the engines there; what the script prints until then is shown, and is in the
log. A script that fails ends the daemon, with its message,
unless --keep-going is given.`,
    `Who can use the control socket can do what the daemon can: Lua reads and writes files and runs programs. So only the
user whom it runs as can, and members of --group.`,
  ],
  sections: serverSections,
  examples: [
    {
      text: 'start the daemon and balance eth3 over four pipes',
      line: 'bricks-server -f scripts/startup-one-thread.lua',
    },
    {
      text: 'the same for eth2, with counters for Prometheus',
      line: 'BRICKS_IFACE=eth2 bricks-server -f scripts/startup-one-thread.lua --metrics 9464',
    },
    {
      text: 'as service managers run it',
      line: 'bricks-server --foreground --log - -f scripts/startup-one-thread.lua',
    },
  ],
};

/** A front end: the daemon with a script that splits or copies one interface over N pipes. */
function frontEnd(name: string, text: string, script: string, share: string): Command {
  return {
    name,
    text,
    options: serverOptions,
    positionals: ['IFACE', 'N'],
    description: [
      `${name} starts the daemon (bricks-server) with ${script}, which reads the interface IFACE and writes N pipes. Application
number i, counted from 0, reads pipe IFACE}i, with bricks-pipe or the reader library; each of them gets ${share}. The daemon
is then controlled as any other: by bricks-shell, bricks-top and bricks-kill-server.`,
    ],
    sections: serverSections,
    examples: [
      { text: `start it for four readers of eth3`, line: `${name} eth3 4` },
      { text: 'look at ten packets of the first pipe', line: `bricks-pipe -w -c 10 'eth3}0' | tcpdump -nr -` },
      { text: 'end it', line: 'bricks-kill-server' },
    ],
  };
}

export const loadBalanceCommand: Command = frontEnd(
  'bricks-load-balance',
  'Splits the traffic of an interface over N applications, both directions of a connection together.',
  'scripts/load-balance.lua',
  'its share of the connections',
);

export const duplicateCommand: Command = frontEnd(
  'bricks-duplicate',
  'Gives all the traffic of an interface to each of N applications.',
  'scripts/duplicate.lua',
  'every packet',
);
