#!/usr/bin/env node
// bricks-filter: the rules of a Filter of the daemon.
import { runProgram } from './command/program.ts';
import { filterCommand } from './command/tables.ts';

await runProgram(filterCommand, async (parsed) => (await import('./client/filter_program.ts')).runFilter(parsed));
