#!/usr/bin/env node
// bricks: engines, a script and a prompt in one process. With -d or -s it is bricks-server or bricks-shell.
import type { Command } from './command/options.ts';
import { type Run, runProgram } from './command/program.ts';
import { bricksCommand, serverCommand, shellCommand } from './command/tables.ts';

/** Loaded only when it is to run: --help answers at once. */
const runBricks: Run = async ({ values, switches }) =>
  switches.has('drivers')
    ? (await import('./driver_list.ts')).listDrivers()
    : (await import('./bricks_program.ts')).runBricks(values);
const runServer: Run = async (parsed) => (await import('./daemon/start.ts')).runServer(parsed);
const runShell: Run = async (parsed) => (await import('./client/shell_program.ts')).runShell(parsed);

/** The programs that `bricks` can be instead, by the option that says so. */
const others: Readonly<Record<string, readonly [Command, Run]>> = {
  '-d': [serverCommand, runServer],
  '--daemon': [serverCommand, runServer],
  '-s': [shellCommand, runShell],
  '--shell': [shellCommand, runShell],
};

const args = process.argv.slice(2);
const at = args.findIndex((arg) => Object.hasOwn(others, arg));
const [command, run] = others[args[at] ?? ''] ?? [bricksCommand, runBricks];
await runProgram(
  command,
  run,
  args.filter((_, i) => i !== at),
);
