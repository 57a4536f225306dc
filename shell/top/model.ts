// From a sequence of snapshots to rates and their history. Pure: each snapshot makes a new model from the one before.
import type { BrickStats, EngineStats, PortStats } from '../../engine/counters.ts';
import type { EngineSnapshot } from '../../engine/snapshot.ts';
import type { Snapshot } from '../protocol/messages.ts';

/** How many moments are remembered of each engine. */
export const historyMax = 150;

/** Snapshots that follow each other faster say more about the daemon's event loop than about traffic. */
const elapsedMsMin = 50;

/** What passed one place. Rates are undefined until there are two snapshots. */
export interface Flow {
  /** Since the counters began. */
  readonly packets: number;
  readonly packetsPerS: number | undefined;
  /** On the wire. Undefined also where packets only are counted. */
  readonly bitsPerS: number | undefined;
}

/** Packets that went no further, for one reason. */
export interface Loss {
  readonly reason: string;
  readonly packets: number;
  readonly packetsPerS: number | undefined;
}

export interface PortView {
  readonly stats: PortStats;
  /** Received by an input, sent by an output. */
  readonly flow: Flow;
  readonly losses: readonly Loss[];
}

export interface BrickView {
  readonly stats: BrickStats;
  readonly received: Flow;
  readonly outputs: readonly Flow[];
  readonly losses: readonly Loss[];
}

/** One moment of an engine. */
export interface Sample {
  readonly monotonicMs: number;
  readonly receivedPerS: number;
  readonly lostPerS: number;
}

export interface EngineView {
  readonly snapshot: EngineSnapshot;
  readonly received: Flow;
  readonly sent: Flow;
  /** Of all its ports and bricks, and its own. */
  readonly losses: readonly Loss[];
  readonly lostPackets: number;
  readonly lostPerS: number | undefined;
  readonly ports: readonly PortView[];
  readonly bricks: readonly BrickView[];
  /** The last {@link historyMax} samples, and how many there have ever been. */
  readonly history: readonly Sample[];
  readonly samples: number;
}

export interface Model {
  readonly snapshot: Snapshot;
  /** Between the two snapshots that rates are from; undefined while there is one only. */
  readonly elapsedMs: number | undefined;
  /** In the daemon's order. */
  readonly engines: readonly EngineView[];
}

/** A counter's change per second. */
type PerSecond = (now: number, before: number | undefined) => number | undefined;

/** True where every counter of `before` is the same counter in `now`, and none has fallen. */
function continues(now: EngineStats, before: EngineStats): boolean {
  return (
    now.ports.length === before.ports.length &&
    now.bricks.length === before.bricks.length &&
    now.ports.every((port, i) => {
      const old = before.ports[i];
      return (
        old?.port === port.port &&
        old.role === port.role &&
        port.rxPackets >= old.rxPackets &&
        port.txPackets >= old.txPackets &&
        sum(port.drops) >= sum(old.drops) &&
        sum(port.lost) >= sum(old.lost)
      );
    }) &&
    now.bricks.every((brick, i) => {
      const old = before.bricks[i];
      return old?.brick === brick.brick && brick.rxPackets >= old.rxPackets && brick.txPackets >= old.txPackets;
    })
  );
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, value) => total + value, 0);
}

function lossesOf(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>> | undefined,
  perSecond: PerSecond,
): Loss[] {
  return Object.entries(now)
    .filter(([, packets]) => packets > 0)
    .map(([reason, packets]) => ({ reason, packets, packetsPerS: perSecond(packets, before?.[reason]) }));
}

/** Both counters of one direction. */
interface Passed {
  readonly packets: number;
  readonly bytes: number;
}

const received = (stats: { rxPackets: number; rxBytes: number }): Passed => ({
  packets: stats.rxPackets,
  bytes: stats.rxBytes,
});

const sent = (stats: { txPackets: number; txBytes: number }): Passed => ({
  packets: stats.txPackets,
  bytes: stats.txBytes,
});

function flow(now: Passed, before: Passed | undefined, perSecond: PerSecond): Flow {
  const bytesPerS = perSecond(now.bytes, before?.bytes);
  return {
    packets: now.packets,
    packetsPerS: perSecond(now.packets, before?.packets),
    bitsPerS: bytesPerS === undefined ? undefined : bytesPerS * 8,
  };
}

function packetFlow(now: number, before: number | undefined, perSecond: PerSecond): Flow {
  return { packets: now, packetsPerS: perSecond(now, before), bitsPerS: undefined };
}

function portView(stats: PortStats, old: PortStats | undefined, perSecond: PerSecond): PortView {
  const direction = stats.role === 'input' ? received : sent;
  return {
    stats,
    flow: flow(direction(stats), old && direction(old), perSecond),
    losses: lossesOf({ ...stats.lost, ...stats.drops }, old && { ...old.lost, ...old.drops }, perSecond),
  };
}

function brickView(stats: BrickStats, old: BrickStats | undefined, perSecond: PerSecond): BrickView {
  return {
    stats,
    received: packetFlow(stats.rxPackets, old?.rxPackets, perSecond),
    outputs: stats.outputs.map((packets, i) => packetFlow(packets, old?.outputs[i], perSecond)),
    losses: lossesOf(stats.drops, old?.drops, perSecond),
  };
}

/** Losses of an engine by reason: what its ports and bricks dropped, and what was lost before they received it. */
function engineReasons(stats: EngineStats): Record<string, number> {
  const reasons: Record<string, number> = {};
  for (const counts of [...stats.ports.map(({ lost }) => lost), stats.drops]) {
    for (const [reason, packets] of Object.entries(counts)) reasons[reason] = (reasons[reason] ?? 0) + packets;
  }
  return reasons;
}

/** @param seconds since the snapshot before; undefined: there is none */
function engineView(
  now: EngineSnapshot,
  before: EngineView | undefined,
  seconds: number | undefined,
  ms: number,
): EngineView {
  const { stats } = now;
  // An engine that was not there, or was made anew, began at zero since: all that it counted happened in this time.
  const old = before && continues(stats, before.snapshot.stats) ? before.snapshot.stats : undefined;
  const perSecond: PerSecond = (value, from = 0) =>
    seconds === undefined ? undefined : Math.max(0, value - from) / seconds;
  const rx = flow(received(stats), old && received(old), perSecond);
  const lostPackets = stats.dropped + stats.lost;
  const lostPerS = perSecond(lostPackets, old && old.dropped + old.lost);
  const history = before?.history ?? [];
  const isSample = rx.packetsPerS !== undefined && lostPerS !== undefined;
  const sample = isSample ? [{ monotonicMs: ms, receivedPerS: rx.packetsPerS, lostPerS }] : [];
  return {
    snapshot: now,
    received: rx,
    sent: flow(sent(stats), old && sent(old), perSecond),
    losses: lossesOf(engineReasons(stats), old && engineReasons(old), perSecond),
    lostPackets,
    lostPerS,
    ports: stats.ports.map((port, i) => portView(port, old?.ports[i], perSecond)),
    bricks: stats.bricks.map((brick, i) => brickView(brick, old?.bricks[i], perSecond)),
    history: [...history, ...sample].slice(-historyMax),
    samples: (before?.samples ?? 0) + sample.length,
  };
}

/** The model after one more snapshot. Another daemon begins anew; a snapshot that comes too soon changes nothing. */
export function advance(previous: Model | undefined, snapshot: Snapshot): Model {
  const isSame = previous?.snapshot.pid === snapshot.pid && previous.snapshot.startedMs === snapshot.startedMs;
  const before = isSame ? previous : undefined;
  const elapsedMs = before && snapshot.monotonicMs - before.snapshot.monotonicMs;
  if (before !== undefined && elapsedMs !== undefined && elapsedMs < elapsedMsMin) return before;
  const old = new Map(before?.engines.map((engine) => [engine.snapshot.stats.engine, engine]));
  const seconds = elapsedMs === undefined ? undefined : elapsedMs / 1000;
  return {
    snapshot,
    elapsedMs,
    engines: snapshot.engines.map((engine) =>
      engineView(engine, old.get(engine.stats.engine), seconds, snapshot.monotonicMs),
    ),
  };
}
