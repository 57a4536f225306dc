// Runs a native program of this package in place of the command that bears its name.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { buildNative, NativeBuildError } from '../native/build.ts';

/** The path of the native program `file`, built if need be. Ends this process where it cannot be: `name` says why. */
export function nativeProgramPath(file: string, name: string): string {
  const folder = process.env.BRICKS_NATIVE_DIR;
  if (folder !== undefined) return join(folder, file);
  try {
    return join(buildNative(), file);
  } catch (error) {
    if (!(error instanceof NativeBuildError)) throw error;
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(1);
  }
}

/** Runs it with this process's arguments and streams; this process ends as it does. */
export function runNativeProgram(file: string, name: string): void {
  // BRICKS_PIPE_PARENT: should this process be killed, the program ends with it and leaves the pipe to others.
  const child = spawn(nativeProgramPath(file, name), process.argv.slice(2), {
    stdio: 'inherit',
    argv0: name,
    env: { ...process.env, BRICKS_PIPE_PARENT: String(process.pid) },
  });
  // On Ctrl-C the terminal signals both; the program decides when it ends, this one follows.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
  });
}
