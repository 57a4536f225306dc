// Engines of this process whose pipes a test reads, and what it takes out of them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import { Brick, type Pipe, type Packet as PipePacket, PktEngine } from '../../index.ts';
import type { Packet } from './capture.ts';
import { engineName } from './engines.ts';

/** Pipes of this test file meet in a folder of their own, which goes at its end. */
export function usePipeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'packet-bricks-pipes-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  process.env.BRICKS_RUNTIME_DIR = folder;
  return folder;
}

/** Starts an engine that passes `input` on to `output`; it ends with the test. */
export function startPassing(t: Pick<TestContext, 'after'>, input: string, output: string): PktEngine {
  const engine = new PktEngine(engineName(), { bufferSlots: 64 });
  t.after(() => {
    if (engine.isRunning) engine.stop();
    engine.delete();
  });
  return engine.link(new Brick('Dummy').connectInput(input).connectOutput(output)).start();
}

/** A packet of a pipe, kept, in the form of the capture reader. */
export function kept(packet: PipePacket): Packet {
  const { timestampNs, wireLength } = packet;
  return { timestampNs, wireLength, data: Buffer.from(packet.copy()) };
}

/** Reads a pipe to its end. */
export async function readAll(pipe: Pipe): Promise<Packet[]> {
  const packets: Packet[] = [];
  for await (const batch of pipe) for (const packet of batch) packets.push(kept(packet));
  return packets;
}

/** Reads to the end, while the engine comes to its own: which a capture does once all of it is delivered. */
export async function readAndStop(engine: PktEngine, pipe: Pipe): Promise<Packet[]> {
  const reading = readAll(pipe);
  await engine.wait(30);
  engine.stop();
  return reading;
}
