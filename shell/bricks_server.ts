#!/usr/bin/env node
// bricks-server: the daemon.
import { runProgram } from './command/program.ts';
import { serverCommand } from './command/tables.ts';

await runProgram(serverCommand, async (parsed) => (await import('./daemon/start.ts')).runServer(parsed));
