#!/usr/bin/env node
// bricks-shell: a prompt, or one chunk of Lua, on the daemon.
import { runProgram } from './command/program.ts';
import { shellCommand } from './command/tables.ts';

await runProgram(shellCommand, async (parsed) => (await import('./client/shell_program.ts')).runShell(parsed));
