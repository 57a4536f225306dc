// Start, stop, delete and start again, a thousand times: nothing of it may be left. For every driver, whether it has a
// bed of the conformance suite or not.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineDescription, EngineProcess } from '../engine_process.ts';
import { added, type Held, ourThreads } from '../leaks.ts';

/** How often. */
export interface Cycles {
  /** Engines that are made and deleted, one after the other; */
  readonly engines: number;
  /** each of which starts and stops so often. */
  readonly starts: number;
}

/** A thousand starts and stops. */
export const thousandStarts: Cycles = { engines: 100, starts: 10 };

/** `CONFORMANCE_CYCLES=n`: n engines that start, stop, start again, stop and are deleted. */
function wanted(cycles: Cycles): Cycles {
  const engines = Number(process.env.CONFORMANCE_CYCLES ?? 0);
  return engines > 0 ? { engines, starts: 2 } : cycles;
}

/** Starts that a process is asked for at once: an answer must not take long. */
const startsAtOnce = 50;
/** Engines before the first look: what a process takes once, and what its memory grows to. */
const warmUpEngines = 10;
/** By so much memory may grow that nothing holds: the allocator's and JavaScript's own. A thousand starts of a driver that
 * loses nothing were seen to add up to 3 MiB. */
const slackBytes = 8 << 20;
/** The kernel gives some things back a little later. */
const tries = 300;
const tryMs = 100;

async function cycle(host: EngineProcess, description: EngineDescription, { engines, starts }: Cycles): Promise<void> {
  const atOnce = Math.max(1, Math.floor(startsAtOnce / starts));
  for (let done = 0; done < engines; done += atOnce)
    await host.cycle(description, Math.min(atOnce, engines - done), starts);
}

interface Counted extends Held {
  readonly outside: number;
}

/** What there is more of, in words. */
function more(before: Counted, after: Counted, engines: number): string[] {
  const texts = (['fds', 'threads', 'files', 'sockets'] as const).flatMap((kind) => {
    const names = added(before[kind], after[kind]);
    const left = kind === 'threads' ? ourThreads(names) : names;
    return left.length > 0 ? [`${kind}: ${left.join(', ')}`] : [];
  });
  // One of each engine would be too many; JavaScript has some that come and go.
  const bounds = {
    mappings: Math.floor(engines / 2),
    mappedBytes: slackBytes,
    residentBytes: slackBytes,
    hugeBytes: 0,
    outside: Math.floor(engines / 2),
  };
  for (const [kind, bound] of Object.entries(bounds) as [keyof typeof bounds, number][]) {
    const growth = after[kind] - before[kind];
    if (growth > bound) texts.push(`${kind}: ${growth} more, from ${before[kind]}`);
  }
  return texts;
}

/** Fails if anything is left of many engines and starts; `outside` counts things that other processes may make, too. */
export async function checkCycles(
  host: EngineProcess,
  description: EngineDescription,
  cycles: Cycles,
  outside = (): number => 0,
): Promise<void> {
  const { engines, starts } = wanted(cycles);
  const look = async (): Promise<Counted> => ({ ...(await host.held()), outside: outside() });
  await cycle(host, description, { engines: warmUpEngines, starts });
  const before = await look();
  await cycle(host, description, { engines, starts });
  let left = more(before, await look(), engines);
  for (let i = 0; i < tries && left.length > 0; i++) {
    await delay(tryMs);
    left = more(before, await look(), engines);
  }
  assert.deepEqual(left, [], `left of ${engines} engines that started ${starts} times each`);
}
