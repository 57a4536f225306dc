// Runs a native program of this package as if it were this process: its arguments, streams, signals and exit status.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { isatty } from 'node:tty';
import { buildNative, NativeBuildError } from '../native/build.ts';
import { leaveTerminal } from './prompt/terminal.ts';

/** What may be sent to a program. Those that stop and continue it are for both processes at once. */
const forwarded = ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGWINCH'] as const;
/** Of these, the terminal sends to its whole foreground process group: the program has got them, too. */
const fromTerminal: readonly string[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];

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

/** Is this process in the foreground of a terminal? */
function isInForeground(): boolean {
  // proc_pid_stat(5): state, parent, group, session, terminal, the terminal's foreground group; a name may hold blanks.
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields[2] === fields[5];
}

/** Runs it with this process's arguments and streams; this process ends as it does. */
export function runNativeProgram(file: string, name: string): void {
  const terminals = [0, 1, 2].filter((fd) => isatty(fd));
  const path = nativeProgramPath(file, name);
  // Before there is a program: whoever sees that it runs may signal this process at once.
  for (const signal of forwarded) {
    process.on(signal, () => {
      if (!fromTerminal.includes(signal) || !isInForeground()) child.kill(signal);
    });
  }
  // BRICKS_WRAPPER: should this process be killed, the program ends with it and leaves its pipe to others.
  const child = spawn(path, process.argv.slice(2), {
    stdio: 'inherit',
    argv0: name,
    env: { ...process.env, BRICKS_WRAPPER: String(process.pid) },
  });
  child.on('error', (error) => {
    process.stderr.write(`${name}: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (terminals.some((fd) => !isatty(fd))) leaveTerminal();
    if (signal === null) process.exit(code ?? 1);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
    // Signals that Node keeps for itself end nothing: the status that a shell would say.
    setImmediate(() => process.exit(128 + constants.signals[signal]));
  });
}
