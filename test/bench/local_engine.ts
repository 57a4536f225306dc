// An engine of the benchmark's own process, on processor 0, for consumers that are processes of their own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Brick, PktEngine } from '../../index.ts';

/** Makes packets as fast as they are taken: UDP to port 53. */
export const generator = 'null:?frames=60&flows=10000';

/** Runs `use` while an engine with that brick runs. Its pipes are in the runtime directory of this process and its children. */
export async function withLocalEngine<T>(brick: Brick, use: (engine: PktEngine) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  process.env.BRICKS_RUNTIME_DIR = folder;
  const engine = new PktEngine('bench', { cpu: 0 });
  try {
    engine.link(brick).start();
    return await use(engine);
  } finally {
    if (engine.isRunning) engine.stop();
    engine.delete();
    rmSync(folder, { recursive: true, force: true });
  }
}
