// Conformance cases: peers, links and interfaces that come and go while the engine runs, and engines that come and go.
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { PortStats } from '../../../index.ts';
import { total } from '../accounting.ts';
import { until } from '../programs.ts';
import type { Bed, Place } from './bed.ts';
import { checkCycles } from './cycles.ts';
import { type Case, type Graph, Run, type Suite } from './suite.ts';
import { everyLength, framesOf, lengthsBetween, manyFrames, type Sent } from './traffic.ts';

const through: Graph = { brick: 'Dummy', from: [0], to: [1] };
const both: Graph = { brick: 'Duplicator', from: [0], to: [1, 2] };

/** Some frames of one length each. */
const some: readonly Sent[] = framesOf(lengthsBetween(100, 1300, 4));
const bytesOf = (frames: readonly Sent[]): Buffer[] => frames.map(({ data }) => data);

/** Carries `some` into wire 0 and looks at what comes out of each wire. */
async function carrySome(suite: Suite, run: Run, to: readonly number[]): Promise<void> {
  const { wires } = suite.place;
  wires.clear();
  await run.carry(some, 0, to, to.length);
  for (const wire of to)
    assert.ok(Buffer.concat(wires.frames(wire)).equals(Buffer.concat(bytesOf(some))), `wire ${wire}`);
}

const dropsOf = (port: PortStats): number => total(port.drops);

/* ------------------------------------------------------------------ peers and links */

async function startOrders(suite: Suite): Promise<void> {
  const { place } = suite;
  const body = async (run: Run): Promise<void> => {
    await run.settle(0, [1, 2]);
    await carrySome(suite, run, [1, 2]);
  };
  if (suite.bed.peersLast !== true) await suite.run(both, body, { peersFirst: true });
  if (suite.bed.peersFirst && place.setPeers === undefined) return;
  const leave = async (): Promise<void> => place.setPeers?.(false);
  const comeBefore = place.setPeers !== undefined && suite.bed.peersLast !== true;
  await suite.run(both, body, { peersFirst: comeBefore, prepare: leave });
}

async function peersLeave(suite: Suite): Promise<void> {
  const { place } = suite;
  await suite.run(
    both,
    async (run) => {
      await run.settle(0, [1, 2]);
      for (const wire of [1, 0]) {
        await place.setPeer?.(wire, false);
        if (place.setPeer !== undefined && wire === 1) await carrySome(suite, run, [2]);
        await place.setPeer?.(wire, true);
        await run.settle(0, [1, 2]);
        await carrySome(suite, run, [1, 2]);
      }
      await place.setPeers?.(false);
      await place.setPeers?.(true);
      await run.settle(0, [1, 2]);
      await carrySome(suite, run, [1, 2]);
    },
    { isCut: true },
  );
}

async function inputDown(suite: Suite): Promise<void> {
  await suite.run(
    both,
    async (run) => {
      await run.settle(0, [1, 2]);
      for (let times = 0; times < 2; times++) {
        const before = (await suite.host()).reports().length;
        await suite.place.setLink?.(0, false);
        const reports = await suite.report(0, 'input', before);
        assert.match(reports[0] ?? '', /down|link/);
        assert.match(reports[0] ?? '', /; /, 'a report says what to do');
        await suite.place.setLink?.(0, true);
        await run.settle(0, [1, 2]);
        await carrySome(suite, run, [1, 2]);
        assert.equal((await suite.report(0, 'input', before)).length, 1, 'reported once');
      }
    },
    { losesUncounted: true },
  );
}

async function outputDown(suite: Suite): Promise<void> {
  await suite.run(both, async (run) => {
    await run.settle(0, [1, 2]);
    const before = (await suite.host()).reports().length;
    await suite.place.setLink?.(1, false);
    await carrySome(suite, run, [2]);
    const reports = await suite.report(1, 'output', before);
    assert.match(reports[0] ?? '', /down|link/);
    await run.statsUntil('the frames for an interface that is down dropped', (stats) => {
      const port = run.port(stats, 1, 'output');
      return dropsOf(port) > 0 && port.txPackets + dropsOf(port) === stats.rxPackets;
    });
    await suite.place.setLink?.(1, true);
    await run.settle(0, [1, 2]);
    await carrySome(suite, run, [1, 2]);
    assert.equal((await suite.report(1, 'output', before)).length, 1, 'reported once');
  });
}

/* ---------------------------------------------------------------- removal while running */

async function removed(suite: Suite, role: 'input' | 'output'): Promise<void> {
  const wire = role === 'input' ? 0 : 1;
  const { place } = suite;
  await suite.run(
    both,
    async (run) => {
      await run.settle(0, [1, 2]);
      const before = (await suite.host()).reports().length;
      run.send(0, bytesOf(some));
      await place.remove?.(wire);
      if (role === 'output') {
        await place.wires.came(2, some.length, 'frames out of the other output');
        run.send(0, bytesOf(some));
        await place.wires.came(2, 2 * some.length, 'frames out of the other output');
      }
      // On its way out an interface may be seen down.
      const isGone = (report: string): boolean => !/ is down/.test(report);
      await until('a report that it is gone', async () => (await suite.report(wire, role, before)).some(isGone));
      // Long enough for an engine that reports again and again: it looks ten times a second.
      await delay(300);
      const reports = await suite.report(wire, role, before);
      const gone = reports.filter(isGone);
      assert.equal(gone.length, 1, `reported once: ${reports}`);
      assert.ok(reports.length <= 2, `reported once: ${reports}`);
      assert.match(gone[0] ?? '', /gone|removed|vanish/);
    },
    { isCut: true },
  );
  await suite.run(through, async (run) => {
    await run.settle(0, [1]);
    await carrySome(suite, run, [1]);
  });
}

/* -------------------------------------------------------------------------- idle engines */

const singlesMax = 20;
/** An engine that spins takes all of a processor; one that looks from time to time far less than this. */
const idleShareMax = 0.5;

async function idle(suite: Suite): Promise<void> {
  await suite.run(both, async (run) => {
    await run.settle(0, [1, 2]);
    const asleep = (number: number) =>
      run.statsUntil('the engine to sleep', ({ others }) => (others.sleeps ?? 0) > number);
    let { others } = await asleep(0);
    const cpuBefore = (await suite.host()).cpuMs();
    await delay(500);
    const cpuMs = (await suite.host()).cpuMs() - cpuBefore;
    assert.ok(cpuMs < 500 * idleShareMax, `an idle engine sleeps: ${cpuMs} ms of processor time in 500 ms`);
    const later = await run.stats();
    // Whenever the last packet's turn is counted, which is after it has come out.
    const { turns = 0 } = later.others;
    assert.ok(turns <= later.rxPackets, `an idle engine moves nothing: ${turns} turns with ${later.rxPackets} packets`);
    const { wires } = suite.place;
    for (const [i, { data }] of some.slice(0, singlesMax).entries()) {
      run.send(0, [data]);
      await wires.came(1, i + 1, 'single frames');
      await wires.came(2, i + 1, 'single frames');
      assert.ok(wires.frames(1)[i]?.equals(data) && wires.frames(2)[i]?.equals(data), `single frame ${i}`);
      // Half of them to an engine that has just moved something, half to one that sleeps.
      if (i % 2 === 1) ({ others } = await asleep(others.sleeps ?? 0));
    }
  });
}

/* ------------------------------------------------------------------ engines come and go */

async function againAndAgain(suite: Suite): Promise<void> {
  const { bed, place } = suite;
  const wires = [0, 1];
  try {
    if (bed.peersFirst) await place.attach(wires);
    await checkCycles(await suite.host(), suite.describe([through]), bed.cycles, () => place.held?.() ?? 0);
  } finally {
    await place.detach(wires);
  }
  assert.deepEqual(place.leftovers(), []);
  await suite.run(both, async (run) => {
    await run.settle(0, [1, 2]);
    await carrySome(suite, run, [1, 2]);
  });
}

async function killed(suite: Suite): Promise<void> {
  const { bed, place } = suite;
  const host = await suite.host();
  if (bed.peersFirst) await place.attach([0, 1, 2]);
  const description = suite.describe([both]);
  assert.equal(await host.make(description), undefined);
  await place.attach([0, 1, 2]);
  place.wires.reset();
  const run = new Run(suite, description.name);
  await run.settle(0, [1, 2]);
  run.send(0, bytesOf(manyFrames(2000)));
  await place.wires.came(1, 1);
  host.program.child.kill('SIGKILL');
  await host.program.ended();
  await place.detach([0, 1, 2], true);
  assert.deepEqual(place.leftovers(true), [], 'left behind by the killed process');
  await suite.run(both, async (run) => {
    await run.settle(0, [1, 2]);
    await carrySome(suite, run, [1, 2]);
  });
}

/** The same engine stopped and started, in the middle of traffic. */
async function restarted(suite: Suite): Promise<void> {
  await suite.run(
    both,
    async (run) => {
      const host = await suite.host();
      await run.settle(0, [1, 2]);
      for (let times = 0; times < 5; times++) {
        run.send(0, bytesOf(everyLength.slice(0, 200)));
        await host.stop(run.name);
        assert.equal(await host.tell('start', run.name), undefined);
        await suite.place.attach([0, 1, 2]);
        await run.settle(0, [1, 2]);
        await run.quiet();
        await carrySome(suite, run, [1, 2]);
      }
    },
    { isCut: true },
  );
}

const without = (key: 'setPeers' | 'setLink' | 'remove', text: string) => (_bed: Bed, place: Place) =>
  place[key] === undefined ? text : false;

export const lifeCases: readonly Case[] = [
  { name: 'both start orders: the peers first, the engine first', run: startOrders },
  { name: 'peers leave and come back', skip: without('setPeers', 'nobody is at the other end'), run: peersLeave },
  { name: 'an input goes down and up', skip: without('setLink', 'it has no link'), run: inputDown },
  { name: 'an output goes down and up', skip: without('setLink', 'it has no link'), run: outputDown },
  {
    name: 'an input is removed while it runs',
    skip: without('remove', 'nothing to remove'),
    run: (suite) => removed(suite, 'input'),
  },
  {
    name: 'an output is removed while it runs',
    skip: without('remove', 'nothing to remove'),
    run: (suite) => removed(suite, 'output'),
  },
  { name: 'an idle engine sleeps, and wakes for a single frame', run: idle },
  {
    name: 'stopped and started again in the middle of traffic',
    skip: ({ noRestart }) => noRestart ?? false,
    run: restarted,
  },
  { name: 'a thousand times started, stopped, deleted and started again: nothing is left', run: againAndAgain },
  { name: 'killed while traffic flows: the next start works', run: killed },
];
