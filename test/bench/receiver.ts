// An engine that receives from one end of a veth pair, in a process of its own, while another sends into the other end.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type makeLink, runAsync } from './measure.ts';

export type Link = ReturnType<typeof makeLink>;

export interface Received {
  readonly received: number;
  readonly lost: number;
  readonly dropped: number;
  readonly read: number;
  /** Nanoseconds of the receiving process. */
  readonly processorNs: number;
}

/** Runs an engine that reads `port`, such as `packet v1`, while `traffic` runs; returns its counts. */
export async function withReceiver(
  link: Link,
  programs: string,
  [driver, name, options = '']: readonly [driver: string, name: string, options?: string],
  pipes: number,
  traffic: () => Promise<unknown>,
): Promise<Received> {
  const [program, args] = link.exec(join(programs, 'receive'));
  const child: ChildProcess = spawn(program, [...args, driver, name, String(pipes), options], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let output = '';
  const ready = new Promise<void>((done) => {
    child.stdout?.on('data', (data: Buffer) => {
      output += data.toString();
      if (output.includes('ready\n')) done();
    });
  });
  const ended = new Promise((done) => child.on('close', done));
  await Promise.race([ready, ended]);
  await traffic();
  await delay(200);
  child.stdin?.end();
  await ended;
  const counts = (output.split('\n')[1] ?? '').split(' ').map(Number);
  const [received = 0, lost = 0, dropped = 0, read = 0, processorNs = 0] = counts;
  return { received, lost, dropped, read, processorNs };
}

/** Sends 60-byte frames into v0, `rate` a second (0: all it can); returns how many. */
export function blast(link: Link, programs: string, rate: number, seconds: number): Promise<number> {
  const [program, args] = link.exec(join(programs, 'blast'));
  return runAsync(program, [...args, 'v0', String(rate), String(seconds)]).then(Number);
}
