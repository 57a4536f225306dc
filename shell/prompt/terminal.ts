// What the program may do with its terminal, and how it leaves one that is gone. Called by shell/run.ts.
import { closeSync, readFileSync } from 'node:fs';
import { isatty } from 'node:tty';

/** True in the foreground of a terminal: a job in the background that reads or changes it is stopped by the kernel. */
export function isInteractive(): boolean {
  if (!isatty(0) || !isatty(1)) return false;
  // proc(5): behind the name in parentheses come state, ppid, pgrp, session, tty_nr, tpgid.
  const [, , pgrp, , , tpgid] = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return pgrp === tpgid;
}

/** Writing to standard streams whose reader has gone must not end the program before its engines are stopped. */
export function surviveLostStreams(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
}

/** Writes what is buffered before the process ends: a pipe takes its time. */
export function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve());
  });
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
