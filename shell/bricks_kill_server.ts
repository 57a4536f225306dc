#!/usr/bin/env node
// bricks-kill-server: ends the daemon.
import { runProgram } from './command/program.ts';
import { killServerCommand } from './command/tables.ts';

await runProgram(killServerCommand, async () => (await import('./client/kill_program.ts')).runKillServer());
