// tcpdump that writes to /dev/null what it captures: from a pipe under bricks-run, beside the same from a veth pair.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Brick } from '../../index.ts';
import { buildNative, nativeFiles } from '../../native/build.ts';
import { generator, withLocalEngine } from './local_engine.ts';
import { type Effort, makeLink, NotHere, pairs, type Row } from './measure.ts';

/** Before the first count and after the last one. */
const marginSeconds = 0.2;

/**
 * Packets/s that a tcpdump on processor 1 captures. It is asked twice for its own count, as it gives it on SIGUSR1:
 * its start and its end do not matter.
 */
async function capturedRate(command: readonly string[], seconds: number): Promise<number> {
  const child = spawn('taskset', ['-c', '1', ...command], { stdio: ['ignore', 'ignore', 'pipe'] });
  let output = '';
  let hasEnded = false;
  let arrived = (): void => {};
  child.stderr.on('data', (data: Buffer) => {
    output += data.toString();
    arrived();
  });
  const ended = new Promise<void>((done) =>
    child.on('close', () => {
      hasEnded = true;
      arrived();
      done();
    }),
  );
  const answer = async (text: RegExp): Promise<string> => {
    for (;;) {
      const found = text.exec(output);
      if (found !== null) return found[1] ?? '';
      if (hasEnded) throw new Error(`${command.join(' ')}: ${output}`);
      await new Promise<void>((done) => {
        arrived = done;
      });
    }
  };
  const count = async (): Promise<{ packets: number; at: number }> => {
    output = '';
    child.kill('SIGUSR1');
    const packets = Number(await answer(/(\d+) packets? captured/));
    return { packets, at: performance.now() / 1000 };
  };
  try {
    await answer(/listening on/);
    await delay(marginSeconds * 1000);
    const before = await count();
    await delay(seconds * 1000);
    const after = await count();
    return (after.packets - before.packets) / (after.at - before.at);
  } finally {
    child.kill('SIGINT');
    await ended;
  }
}

const options = ['-w', '/dev/null'];

/** It is ended before, once tcpdump has counted. */
const blastSecondsMax = 60;

/** A pipe, fed without limit, beside a veth pair into which blast.c sends all it can. */
export async function tcpdump(programs: string, effort: Effort): Promise<Row[]> {
  const bricksRun = join(buildNative(), nativeFiles.runProgram);
  if (!existsSync('/usr/bin/tcpdump')) throw new NotHere('tcpdump is not installed');
  const link = makeLink();
  const fromVeth = async (): Promise<number> => {
    const [program, args] = link.exec(join(programs, 'blast'));
    const [tcpdumpProgram, tcpdumpArgs] = link.exec('tcpdump');
    const blast = spawn(program, [...args, 'v0', '0', String(blastSecondsMax)], { stdio: 'ignore' });
    const ended = new Promise((done) => blast.on('close', done));
    try {
      const command = [tcpdumpProgram, ...tcpdumpArgs, '-ni', 'v1', ...options];
      return (await capturedRate(command, effort.seconds)) / 1e6;
    } finally {
      blast.kill();
      await ended;
    }
  };
  const fromPipe = async (): Promise<number> =>
    (await capturedRate([bricksRun, 'tcpdump', '-ni', 'x}0', ...options], effort.seconds)) / 1e6;
  try {
    const figures = await pairs(effort.rounds, { name: 'tcpdump -w /dev/null on a veth pair', take: fromVeth }, () =>
      withLocalEngine(new Brick('Dummy').connectInput(generator).connectOutput('x{0?wait=1'), fromPipe),
    );
    const name = 'tcpdump: bricks-run tcpdump -w /dev/null on a pipe, 60 bytes';
    return [{ name, unit: 'Mpps', ...figures, target: { ratioMin: 10 } }];
  } finally {
    link.close();
  }
}
