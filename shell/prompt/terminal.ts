// What programs may do with their terminal and standard streams, and how they leave those that are gone or full. Called by shell/.
import { closeSync, readFileSync } from 'node:fs';
import { isatty } from 'node:tty';

/** True in the foreground of a terminal: a job in the background that reads or changes it is stopped by the kernel. */
export function isInteractive(): boolean {
  if (!isatty(0) || !isatty(1)) return false;
  // proc(5): behind the name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid.
  const [, , pgrp, , , tpgid] = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return pgrp === tpgid;
}

/** What became of the output, where not all of it was written: a disk that is full. Not that its reader has gone. */
let lost: Error | undefined;

/** Writing to standard streams that cannot be written to must not end the program before its engines are stopped. */
export function surviveLostStreams(): void {
  process.stderr.on('error', () => {});
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') lost ??= error;
  });
}

/** Writes what is buffered before the process ends: a pipe takes its time. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
}

/**
 * Waits until the output of `program` is written, behind surviveLostStreams(). Resolves with `status`, or where
 * success would hide that output is lost with that of a failure, of which standard error says why.
 */
export async function endOutput(program: string, status: number): Promise<number> {
  await flushed(process.stdout);
  // The stream reports a failed write in a turn of its own.
  await new Promise((resolve) => setImmediate(resolve));
  if (lost !== undefined) {
    process.stderr.write(`${program}: cannot write the output: ${lost.message}; make room, or write elsewhere\n`);
  }
  await flushed(process.stderr);
  return lost !== undefined && status === 0 ? 1 : status;
}

/** To be called after a hang-up, before the process ends: Node would set the terminal's modes back, and abort as there is none. */
export function leaveTerminal(): void {
  for (const fd of [0, 1, 2]) closeSync(fd);
}

/** Ends the process after a hang-up. */
export function exitAfterHangup(status: number): never {
  leaveTerminal();
  process.exit(status);
}
