#!/usr/bin/env node
// bricks-duplicate: the daemon with scripts/duplicate.lua.
import { runProgram } from './command/program.ts';
import { duplicateCommand } from './command/tables.ts';

await runProgram(duplicateCommand, async (parsed) =>
  (await import('./daemon/front_end.ts')).runFrontEnd('duplicate', parsed),
);
