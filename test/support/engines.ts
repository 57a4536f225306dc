// Runs an engine of this process over files, from start to its last packet.
import assert from 'node:assert/strict';
import { type Brick, type EngineStats, PktEngine, type PktEngineOptions } from '../../index.ts';
import { assertAccounting } from './accounting.ts';

let count = 0;

/** A name that no other engine of this process has. */
export function engineName(): string {
  return `test${++count}`;
}

/** Runs the bricks until every source is read and delivered; checks the accounting; returns the counters. */
export async function runGraph(
  bricks: Brick | readonly Brick[],
  options: PktEngineOptions = {},
  batchPackets = -1,
): Promise<EngineStats> {
  const engine = new PktEngine(engineName(), options);
  try {
    for (const brick of Array.isArray(bricks) ? (bricks as readonly Brick[]) : [bricks as Brick])
      engine.link(brick, { batchPackets });
    engine.start();
    assert.equal(await engine.wait(30), true, 'the engine comes to its end within 30 s');
    engine.stop();
    const stats = engine.stats();
    assertAccounting(stats, engine.plan);
    assert.equal(stats.inFlight, 0, 'nothing is in flight after the stop');
    return stats;
  } finally {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
}
