// What several commands have in common: options, exit statuses, variables, files. The tables in this folder use it.
import type { CommandOption } from './options.ts';

export const fileOption: CommandOption = {
  long: 'file',
  short: 'f',
  value: 'script.lua',
  text: 'run this script first: a file, or one that comes with the package, such as scripts/startup-demo.lua',
};

/** What the engines of a process are told: the same for the program with a prompt and for the daemon. */
export const engineOptions: readonly CommandOption[] = [
  { long: 'batch', short: 'b', value: 'packets', text: 'packets in a batch, 1 to 4096 (default 256)' },
  { long: 'driver', value: 'driver', text: 'the driver that a bare interface name means (default packet)' },
  {
    long: 'dpdk-eal',
    value: 'options',
    takesDash: true,
    text: `what DPDK is told for ports dpdk: and memif:, as its own programs are: '-m 512 --no-huge'`,
  },
];

/** Variables that every command looks at. */
export const runtimeVariable = {
  BRICKS_RUNTIME_DIR: `the runtime directory, where pipes meet their readers and the daemon its clients: they need the
same one (default /run/bricks for root, else $XDG_RUNTIME_DIR/bricks)`,
};

/** Variables of commands that run engines. */
export const engineVariables = {
  BRICKS_DRIVER: 'as --driver',
  BRICKS_DPDK_EAL: 'as --dpdk-eal; looked at when the first port of DPDK is started',
  ...runtimeVariable,
};

/** Variables of a prompt. */
export const promptVariables = {
  BRICKS_HISTORY: 'the file that keeps what was typed at the prompt (default ~/.bricks_history); empty for none',
};

export const promptFiles = { '~/.bricks_history': 'what was typed at the prompt' };

/** Where a command finds the daemon. */
export const controlFiles = { 'control.sock': 'the control socket of the daemon, in the runtime directory' };
