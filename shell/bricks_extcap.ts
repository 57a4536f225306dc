#!/usr/bin/env node
// bricks-extcap: makes Wireshark show pipes as interfaces, and no longer. What Wireshark itself asks of a program in its
// extcap folder is answered by the native program of that name; see extcap_install.ts for when it comes here at all.
import { nativeFiles } from '../native/build.ts';
import { runProgram } from './command/program.ts';
import { extcapCommand } from './command/tables.ts';
import { runNativeProgram } from './native_program.ts';

const isWireshark = process.argv.some((arg) => arg === '--capture' || arg.startsWith('--extcap-'));
if (isWireshark) runNativeProgram(nativeFiles.extcapProgram, extcapCommand.name);
else {
  await runProgram(extcapCommand, async (parsed) => (await import('./extcap_install.ts')).runExtcapInstall(parsed));
}
