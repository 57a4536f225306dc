// Real snapshots for tests of the dashboard: engines of this process, seen as the daemon's clients see them.

import { type EngineSnapshot, snapshotOf } from '../../../engine/snapshot.ts';
import type { PortStats } from '../../../index.ts';
import { type Brick, PktEngine, type PktEngineOptions } from '../../../index.ts';
import type { Snapshot } from '../../../shell/protocol/messages.ts';
import { engineName } from '../../support/engines.ts';

/** Runs the bricks over pausable sources to their end; the snapshots before the start and after. */
export async function snapshotsOf(
  bricks: readonly Brick[],
  options: PktEngineOptions & { name?: string } = {},
): Promise<{ before: EngineSnapshot; after: EngineSnapshot }> {
  const engine = new PktEngine(options.name ?? engineName(), options);
  try {
    for (const brick of bricks) engine.link(brick);
    const before = snapshotOf(engine);
    engine.start();
    await engine.wait(30);
    return { before, after: snapshotOf(engine) };
  } finally {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
}

/** A daemon's snapshot around engines, so many milliseconds after its start. */
export function daemonSnapshot(
  ms: number,
  engines: readonly EngineSnapshot[],
  others: Partial<Snapshot> = {},
): Snapshot {
  const startedMs = Date.UTC(2026, 0, 1);
  return {
    monotonicMs: ms,
    timeMs: startedMs + ms,
    startedMs,
    pid: 4711,
    version: '0.1.0',
    engines,
    applications: {},
    clients: 1,
    ...others,
  };
}

/** The engine with some of its ports' counters changed: `change` gets each port. */
export function withPorts(
  engine: EngineSnapshot,
  change: (port: PortStats, index: number) => Partial<PortStats>,
): EngineSnapshot {
  const ports = engine.stats.ports.map((port, i) => ({ ...port, ...change(port, i) }));
  const sum = (of: (port: PortStats) => number): number => ports.reduce((total, port) => total + of(port), 0);
  const add = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0);
  const drops: Record<string, number> = {};
  for (const port of ports) {
    for (const [reason, packets] of Object.entries(port.drops)) drops[reason] = (drops[reason] ?? 0) + packets;
  }
  return {
    ...engine,
    stats: {
      ...engine.stats,
      ports,
      drops,
      dropped: add(drops),
      lost: sum(({ lost }) => add(lost)),
      rxPackets: sum(({ rxPackets }) => rxPackets),
      rxBytes: sum(({ rxBytes }) => rxBytes),
      txPackets: sum(({ txPackets }) => txPackets),
      txBytes: sum(({ txBytes }) => txBytes),
    },
  };
}

/** The engine under another name. */
export function renamed(engine: EngineSnapshot, name: string): EngineSnapshot {
  return { ...engine, stats: { ...engine.stats, engine: name } };
}
