// The bed of live tests: a namespace that sends, one in which engines run, a veth pair between them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { EngineStats } from '../../index.ts';
import { type Packet, readCapture, timed, writeCapture } from './capture.ts';
import { makeFolder } from './files.ts';
import { connect, makeNamespace, type Namespace } from './netns.ts';
import { buildPacket } from './packets.ts';
import { run } from './programs.ts';

/** Two namespaces, joined: `tx0` in the sender's, `in0` in the engine's. */
export interface LiveBed {
  readonly sender: Namespace;
  readonly receiver: Namespace;
  readonly folder: string;
  /** Of its own, so that no other test's pipes are in the way. */
  readonly runtimeFolder: string;
}

export const sendInterface = 'tx0';
export const engineInterface = 'in0';

/** Makes the bed; it goes when the test `t` is over. */
export function makeLiveBed(t: TestContext, mtu = 1500): LiveBed {
  const folder = makeFolder(t);
  const runtimeFolder = makeFolder(t);
  const sender = makeNamespace(t, 'tx');
  const receiver = makeNamespace(t, 'rx');
  connect(sender, sendInterface, receiver, engineInterface, mtu);
  return { sender, receiver, folder, runtimeFolder };
}

/**
 * Replays captures, one after the other. The kernel hands over a block of an input's ring each millisecond in which packets
 * came, however few: faster, more of them find room in the 128 blocks that there are while an engine waits for a processor.
 */
export function replay(bed: LiveBed, files: readonly string[], packetsPerSecond = 10_000): void {
  for (const file of files) {
    bed.sender.run(
      'tcpreplay',
      '-q',
      '--timer=nano',
      `--pps=${packetsPerSecond}`,
      '--preload-pcap',
      '-i',
      sendInterface,
      file,
    );
  }
}

/** Frames of distinct content: 1000 bytes each. */
export function makeFrames(count: number, port: number): Packet[] {
  const flow = { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'udp', sourcePort: port } as const;
  return timed(
    Array.from({ length: count }, (_, i) => buildPacket({ ...flow, destinationPort: i + 1 }, { payload: 958 })),
  );
}

/** A capture of these packets, in the bed's folder. */
export function captureOf(bed: LiveBed, name: string, packets: readonly Packet[]): string {
  const file = join(bed.folder, name);
  writeCapture(file, packets);
  return file;
}

/** A capture of any format as a nanosecond pcap, for tests that need its packets. */
export function readAnyCapture(file: string, folder: string): readonly Packet[] {
  const converted = join(folder, 'converted.pcap');
  run('editcap', ['-F', 'nsecpcap', file, converted]);
  return readCapture(converted).packets;
}

/** Counters of the pipe `name`. */
export function pipeStats(stats: EngineStats, name: string): EngineStats['ports'][number] {
  const port = stats.ports.find((candidate) => candidate.driver === 'pipe' && candidate.name === name);
  assert.ok(port !== undefined, `pipe ${name} has counters`);
  return port;
}

/** How many of an engine's pipes have a reader now. */
export function readersOf(stats: EngineStats): number {
  return stats.ports.filter((port) => port.driver === 'pipe' && (port.others.reader_pid ?? 0) > 0).length;
}
