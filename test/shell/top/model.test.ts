// Rates and history from sequences of snapshots: real ones of an engine, its counters moved on by hand.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { EngineSnapshot } from '../../../engine/snapshot.ts';
import { Brick } from '../../../index.ts';
import type { Snapshot } from '../../../shell/protocol/messages.ts';
import { advance, type EngineView, historyMax, type Model } from '../../../shell/top/model.ts';
import { demoCapture, makeFolder } from '../../support/files.ts';
import { daemonSnapshot, renamed, snapshotsOf, withPorts } from './support.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
let stopped: EngineSnapshot;
let ran: EngineSnapshot;
before(async () => {
  process.env.BRICKS_RUNTIME_DIR = makeFolder(root);
  const brick = new Brick('LoadBalancer').connectInput(`pcap:${demoCapture}`).connectOutput('m{0', 'null:');
  ({ before: stopped, after: ran } = await snapshotsOf([brick], { name: 'e0' }));
});

/** The engine after so many times the packets of its one run. */
function times(factor: number, engine = ran): EngineSnapshot {
  return withPorts(engine, (port) => ({
    rxPackets: port.rxPackets * factor,
    rxBytes: port.rxBytes * factor,
    txPackets: port.txPackets * factor,
    txBytes: port.txBytes * factor,
    drops: Object.fromEntries(Object.entries(port.drops).map(([reason, count]) => [reason, count * factor])),
  }));
}

function modelOf(...snapshots: readonly Snapshot[]): Model {
  let model: Model | undefined;
  for (const snapshot of snapshots) model = advance(model, snapshot);
  assert.ok(model);
  return model;
}

function only(model: Model): EngineView {
  const [engine] = model.engines;
  assert.ok(engine);
  return engine;
}

test('one snapshot has counts but no rates', () => {
  const model = modelOf(daemonSnapshot(1000, [ran]));
  assert.equal(model.elapsedMs, undefined);
  assert.equal(only(model).received.packets, 458);
  assert.equal(only(model).received.packetsPerS, undefined);
  assert.equal(only(model).ports[1]?.losses[0]?.packetsPerS, undefined);
  assert.deepEqual(only(model).history, []);
});

test('rates are differences over the time that passed, however unevenly it goes', () => {
  const bytes = ran.stats.rxBytes;
  const lost = ran.stats.drops.no_reader ?? 0;
  assert.ok(lost > 0);
  let model = modelOf(daemonSnapshot(1000, [times(1)]), daemonSnapshot(3000, [times(3)]));
  assert.equal(only(model).received.packetsPerS, 458);
  assert.equal(only(model).received.bitsPerS, bytes * 8);
  assert.equal(only(model).lostPerS, lost);
  assert.deepEqual(only(model).losses, [{ reason: 'no_reader', packets: 3 * lost, packetsPerS: lost }]);
  model = advance(model, daemonSnapshot(3250, [times(4)]));
  assert.equal(only(model).received.packetsPerS, 458 * 4);
  model = advance(model, daemonSnapshot(13_250, [times(4)]));
  assert.equal(only(model).received.packetsPerS, 0);
  assert.equal(only(model).lostPerS, 0);
  assert.deepEqual(
    only(model).history.map((sample) => sample.receivedPerS),
    [458, 458 * 4, 0],
  );
});

test('a snapshot that comes too soon, or late from before, changes nothing', () => {
  const model = modelOf(daemonSnapshot(1000, [times(1)]), daemonSnapshot(2000, [times(2)]));
  for (const ms of [2000, 2010, 1500]) assert.equal(advance(model, daemonSnapshot(ms, [times(3)])), model);
  const after = advance(model, daemonSnapshot(3000, [times(4)]));
  assert.equal(only(after).received.packetsPerS, 2 * 458, 'and its packets are counted with the next');
});

test('an engine made anew begins at zero: no rate is negative or absurd', () => {
  const model = modelOf(
    daemonSnapshot(1000, [times(1000)]),
    daemonSnapshot(2000, [times(1001)]),
    daemonSnapshot(3000, [times(1)]),
  );
  assert.equal(only(model).received.packetsPerS, 458);
  assert.equal(only(model).lostPerS, ran.stats.dropped);
  for (const { flow } of only(model).ports) assert.ok((flow.packetsPerS ?? -1) >= 0 && (flow.packetsPerS ?? 0) <= 458);
  assert.equal(only(model).history.length, 2, 'its history goes on');
});

test('an engine made anew with other ports is not compared with what it was', () => {
  const other: EngineSnapshot = {
    ...ran,
    stats: {
      ...ran.stats,
      ports: ran.stats.ports.map((port, i) => (i === 1 ? { ...port, port: 'pipe:x}0', name: 'x}0' } : port)),
    },
  };
  const model = modelOf(daemonSnapshot(1000, [ran]), daemonSnapshot(2000, [other]));
  assert.equal(only(model).received.packetsPerS, 458);
});

test('an engine that is started, comes or goes', () => {
  const first = modelOf(daemonSnapshot(1000, [stopped]));
  assert.deepEqual(only(first).ports, []);
  const started = advance(first, daemonSnapshot(2000, [ran]));
  assert.equal(only(started).received.packetsPerS, 458, 'what it received, it received since');
  const two = advance(started, daemonSnapshot(3000, [ran, renamed(ran, 'e1')]));
  assert.deepEqual(
    two.engines.map((engine) => engine.received.packetsPerS),
    [0, 458],
  );
  const one = advance(two, daemonSnapshot(4000, [renamed(times(2), 'e1')]));
  assert.deepEqual(
    one.engines.map((engine) => engine.received.packetsPerS),
    [458],
  );
});

test('a reader that comes changes no rate', () => {
  const read = withPorts(ran, (port) => (port.driver === 'pipe' ? { others: { ...port.others, reader_pid: 7 } } : {}));
  assert.equal(only(modelOf(daemonSnapshot(1000, [ran]), daemonSnapshot(2000, [read]))).received.packetsPerS, 0);
});

test('another daemon begins anew', () => {
  const model = modelOf(daemonSnapshot(1000, [times(1)]), daemonSnapshot(2000, [times(2)]));
  const others = [daemonSnapshot(5000, [times(9)], { pid: 4712 }), daemonSnapshot(10, [times(9)], { startedMs: 5 })];
  for (const other of others) {
    const next = advance(model, other);
    assert.equal(next.elapsedMs, undefined);
    assert.equal(only(next).received.packetsPerS, undefined);
    assert.deepEqual(only(next).history, []);
  }
});

test('the history is bounded and knows how long it has been', () => {
  let model: Model | undefined;
  for (let i = 0; i <= 400; i++) model = advance(model, daemonSnapshot(1000 * i, [times(i)]));
  assert.ok(model);
  assert.equal(only(model).history.length, historyMax);
  assert.equal(only(model).samples, 400);
});
