#!/usr/bin/env node
// bricks-load-balance: the daemon with scripts/load-balance.lua.
import { runProgram } from './command/program.ts';
import { loadBalanceCommand } from './command/tables.ts';

await runProgram(loadBalanceCommand, async (parsed) =>
  (await import('./daemon/front_end.ts')).runFrontEnd('load-balance', parsed),
);
