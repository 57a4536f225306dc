// Conformance cases: the packets that go in come out, the same bytes in the same order, whatever the brick.
import assert from 'node:assert/strict';
import { type Bed, frameBytes } from './bed.ts';
import type { Case, Graph, Suite } from './suite.ts';
import { everyLength, framesOf, lengthsBetween, manyFrames, type Sent, taggedFrames } from './traffic.ts';

/** More frames than the rings and buffers of any driver hold. */
const floodFrames = 24_000;
const tagBytes = 4;
const macsBytes = 12;

/** Lengths around the sizes that buffers have. */
const jumboLengths = [
  1515, 1536, 2032, 2047, 2048, 2049, 3072, 3500, 4095, 4096, 4097, 8192, 9000, 9014, 16000, 32768, 65535,
];

/** Fails at the first frame that is not as it should be. */
function assertFrames(actual: readonly Buffer[], expected: readonly Sent[], what: string): void {
  const wrong = expected.findIndex(({ data }, i) => actual[i] === undefined || !data.equals(actual[i]));
  const text = `${what}: frame ${wrong} of ${expected.length}`;
  if (wrong >= 0) assert.equal(actual[wrong]?.toString('hex'), expected[wrong]?.data.toString('hex'), text);
  assert.equal(actual.length, expected.length, `${what}: number of frames`);
}

/** Frames whose outer tag is none of a provider's. */
const customerTagged = taggedFrames.filter(({ data }) => data.readUInt16BE(macsBytes) === 0x8100);

const dummy: Graph = { brick: 'Dummy', from: [0], to: [1] };

/** Through a Dummy from wire 0 to wire 1, in order. */
async function checkPassed(suite: Suite, frames: readonly Sent[], graph: Partial<Graph> = {}): Promise<void> {
  await suite.run({ ...dummy, ...graph }, async (run) => {
    await run.settle(0, [1]);
    await run.carry(frames, 0, [1]);
    assertFrames(suite.place.wires.frames(1), frames, 'wire 1');
  });
}

/** Every frame at one wire or the other, flows together, each in order. */
function assertBalanced(parts: readonly (readonly Buffer[])[], sent: readonly Sent[]): void {
  const flows = new Map(sent.map(({ data, flow }) => [data.toString('hex'), flow]));
  const places = new Map<string, number>();
  parts.forEach((part, wire) => {
    assert.ok(part.length > 0, `output ${wire} has a share`);
    for (const frame of part) {
      const flow = flows.get(frame.toString('hex'));
      assert.ok(flow !== undefined, `output ${wire}: a frame that was never sent: ${frame.toString('hex')}`);
      assert.equal(places.get(flow) ?? wire, wire, `flow ${flow} is at one output`);
      places.set(flow, wire);
    }
  });
  parts.forEach((part, wire) => {
    const expected = sent.filter(({ flow }) => places.get(flow) === wire);
    assertFrames(part, expected, `output ${wire}`);
  });
}

async function checkDuplicated(suite: Suite): Promise<void> {
  const frames = manyFrames(floodFrames);
  await suite.run({ brick: 'Duplicator', from: [0], to: [1, 2] }, async (run) => {
    await run.settle(0, [1, 2]);
    await run.carry(frames, 0, [1, 2], 2);
    for (const wire of [1, 2]) assertFrames(suite.place.wires.frames(wire), frames, `wire ${wire}`);
  });
}

async function checkRewritten(suite: Suite): Promise<void> {
  const below: Graph = { brick: 'FlowGen', argument: 77, from: [], to: [2] };
  await suite.run({ brick: 'Duplicator', from: [0], to: [1], below: [below] }, async (run) => {
    await run.settle(0, [1, 2]);
    await run.carry(everyLength, 0, [1, 2], 2);
    const { wires } = suite.place;
    assertFrames(wires.frames(1), everyLength, 'the branch without FlowGen');
    assertFrames(
      wires.frames(2).map((frame) => frame.subarray(macsBytes)),
      everyLength.map(({ data, flow }) => ({ data: data.subarray(macsBytes), flow })),
      'the branch with FlowGen, behind the addresses',
    );
    const kept = wires
      .frames(2)
      .findIndex((frame, i) => everyLength[i]?.data.subarray(0, macsBytes).equals(frame.subarray(0, macsBytes)));
    assert.equal(kept, -1, 'FlowGen has changed the addresses of every frame');
  });
}

async function checkReflected(suite: Suite): Promise<void> {
  await suite.run({ brick: 'Dummy', from: [0], to: [0] }, async (run) => {
    await run.settle(0, [0]);
    await run.carry(everyLength, 0, [0]);
    assertFrames(suite.place.wires.frames(0), everyLength, 'back at wire 0');
  });
}

async function checkBridged(suite: Suite): Promise<void> {
  const ways: readonly Graph[] = [dummy, { brick: 'Dummy', from: [1], to: [0] }];
  await suite.run(ways, async (run) => {
    await run.settle(0, [1]);
    await run.settle(1, [0]);
    const backwards = [...everyLength].reverse();
    await Promise.all([run.carry(everyLength, 0, [1]), run.carry(backwards, 1, [0])]);
    assertFrames(suite.place.wires.frames(1), everyLength, 'forth');
    assertFrames(suite.place.wires.frames(0), backwards, 'back');
  });
}

/** Everything at once. Where frames are lost they are counted, and the others are whole and in order. */
async function checkFlooded(suite: Suite): Promise<void> {
  const frames = manyFrames(floodFrames);
  await suite.run(
    { brick: 'Duplicator', from: [0], to: [1, 2] },
    async (run) => {
      await run.settle(0, [1, 2]);
      const before = run.sent;
      run.send(
        0,
        frames.map(({ data }) => data),
      );
      // Before that a count that stands still may be one that has not begun to grow.
      for (const wire of [1, 2]) await suite.place.wires.came(wire, 1, 'frames of the flood');
      let previous = -1;
      await run.statsUntil('every frame received or lost', ({ rxPackets, lost }) => {
        const isStill = rxPackets === previous;
        previous = rxPackets;
        return suite.bed.countsLost ? rxPackets + lost >= before + floodFrames : isStill;
      });
      await run.statsUntil('every frame sent or dropped', ({ inFlight }) => inFlight === 0);
      const numbers = new Map(frames.map(({ data }, i) => [data.toString('hex'), i]));
      for (const wire of [1, 2]) {
        const stats = await run.stats();
        await suite.place.wires.until(() => suite.place.wires.count(wire) >= run.port(stats, wire, 'output').txPackets);
        let last = -1;
        for (const frame of suite.place.wires.frames(wire)) {
          const number = numbers.get(frame.toString('hex'));
          assert.ok(number !== undefined, `wire ${wire}: a frame that was never sent: ${frame.toString('hex')}`);
          assert.ok(number > last, `wire ${wire}: frame ${number} behind ${last}`);
          last = number;
        }
        assert.ok(last >= 0, `frames came out of wire ${wire}`);
      }
    },
    { losesUncounted: !suite.bed.countsLost },
  );
}

/** Frames longer than an output's MTU: those pass that fit, in order; of the others none is without a count. */
async function checkTooLong(suite: Suite): Promise<void> {
  const lengths = [60, 1514, 3000, 100, 9000, 1514, 2000, 61];
  const frames = framesOf(Array.from({ length: 10 }, () => lengths).flat());
  const short = frames.filter(({ data }) => data.length <= frameBytes);
  const graph: Graph = { ...dummy, bytes: 9014 };
  await suite.run(
    graph,
    async (run) => {
      await run.settle(0, [1]);
      const before = (await run.stats()).rxPackets;
      run.send(
        0,
        frames.map(({ data }) => data),
      );
      await run.statsUntil('every frame sent or dropped', ({ rxPackets, txPackets, dropped }) => {
        return rxPackets === before + frames.length && txPackets + dropped === rxPackets;
      });
      await suite.place.wires.came(1, short.length);
      const dropped = (await run.stats()).dropped;
      assert.equal(dropped, frames.length - short.length, 'those that are too long are dropped');
      assertFrames(suite.place.wires.frames(1), short, 'those that fit');
    },
    { prepare: async () => suite.place.limit?.(1, frameBytes) },
  );
}

const noJumbo = ({ bytesMax }: Bed): string | false =>
  bytesMax > frameBytes + tagBytes ? false : `carries ${bytesMax} bytes at most`;

const twoWay = (bed: Bed): string | false => (bed.isTwoWay ? false : 'a port has one direction');

export const trafficCases: readonly Case[] = [
  {
    name: 'every length and kind of frame, byte for byte and in order',
    run: (suite) => checkPassed(suite, everyLength),
  },
  {
    name: 'the same in batches of one packet',
    run: (suite) => checkPassed(suite, everyLength.slice(0, 500), { batchPackets: 1 }),
  },
  {
    name: 'LoadBalancer: every frame at one output, flows together and in order',
    run: (suite) =>
      suite.run({ brick: 'LoadBalancer', argument: 2, from: [0], to: [1, 2] }, async (run) => {
        await run.settle(0, [1, 2], 'some');
        await run.carry(everyLength, 0, [1, 2]);
        assertBalanced([suite.place.wires.frames(1), suite.place.wires.frames(2)], everyLength);
      }),
  },
  { name: 'Duplicator: both outputs the same, more frames than all rings hold', run: checkDuplicated },
  { name: 'FlowGen below a Duplicator: the other branch sees no change', run: checkRewritten },
  { name: 'input and output on one port: a reflector', skip: twoWay, run: checkReflected },
  { name: 'two ports, both ways at once: a bridge', skip: twoWay, run: checkBridged },
  { name: 'more at once than anybody can take', run: checkFlooded },
  {
    name: 'runts: frames shorter than Ethernet has them',
    run: (suite) => checkPassed(suite, framesOf(lengthsBetween(suite.bed.bytesMin, 59))),
  },
  {
    name: 'VLAN tags are kept as they were sent',
    run: (suite) => checkPassed(suite, suite.bed.keepsServiceTags ? taggedFrames : customerTagged),
  },
  {
    name: 'jumbo frames',
    skip: noJumbo,
    run: (suite) => {
      const { bytesMax } = suite.bed;
      const lengths = [...jumboLengths.filter((bytes) => bytes < bytesMax), bytesMax, 60, bytesMax - 1];
      return checkPassed(suite, framesOf([...lengths, ...lengths]), { bytes: bytesMax });
    },
  },
  {
    name: 'frames that an output cannot take are dropped and counted, those around them pass',
    skip: (bed, place) => noJumbo(bed) || (place.limit === undefined && 'an output takes all that an input gives'),
    run: checkTooLong,
  },
];
