#!/usr/bin/env node
// bricks-script: runs a script that packets visit. The Script brick starts it beside its engine; users may as well.
import { runProgram } from './command/program.ts';
import { scriptCommand } from './command/tables.ts';

await runProgram(scriptCommand, async (parsed) => (await import('./script_program.ts')).runScriptProgram(parsed));
