#!/usr/bin/env node
// bricks-top: the dashboard of the daemon.
import { runProgram } from './command/program.ts';
import { topCommand } from './command/tables.ts';

await runProgram(topCommand, async (parsed) => (await import('./client/top_program.ts')).runTopProgram(parsed));
