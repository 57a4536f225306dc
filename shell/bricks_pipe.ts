#!/usr/bin/env node
// bricks-pipe: runs the native program of that name, which reads pipes, with the same arguments.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { buildNative, NativeBuildError, nativeFiles } from '../native/build.ts';

function programPath(): string {
  const folder = process.env.BRICKS_NATIVE_DIR;
  if (folder !== undefined) return join(folder, nativeFiles.pipeProgram);
  try {
    return join(buildNative(), nativeFiles.pipeProgram);
  } catch (error) {
    if (!(error instanceof NativeBuildError)) throw error;
    process.stderr.write(`bricks-pipe: ${error.message}\n`);
    process.exit(1);
  }
}

// BRICKS_PIPE_PARENT: should this process be killed, the program ends with it and leaves the pipe to others.
const child = spawn(programPath(), process.argv.slice(2), {
  stdio: 'inherit',
  argv0: 'bricks-pipe',
  env: { ...process.env, BRICKS_PIPE_PARENT: String(process.pid) },
});
// On Ctrl-C the terminal signals both; the program decides when it ends, this one follows.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    child.kill(name);
  });
}
child.on('error', (error) => {
  process.stderr.write(`bricks-pipe: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
});
