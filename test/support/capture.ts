// A pcap reader and writer of the tests' own: small, slow, independent of the one under test.
//
// Reads the classic format in both byte orders and both resolutions, gzipped too; pcapng goes through editcap.
// Written from draft-ietf-opsawg-pcap. Used by every test that compares packets.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** One packet of a capture. */
export interface Packet {
  /** Since 1970-01-01 00:00 UTC. */
  readonly timestampNs: bigint;
  readonly wireLength: number;
  readonly data: Buffer;
}

/** A whole capture in memory. */
export interface Capture {
  readonly linkType: number;
  readonly isNanosecond: boolean;
  readonly packets: readonly Packet[];
}

const magicMicro = 0xa1b2c3d4;
const magicNano = 0xa1b23c4d;

/** Reads a capture; throws when it is not one or ends within a record. */
export function readCapture(file: string): Capture {
  return parseCapture(readFileSync(file), file);
}

/** {@link readCapture} of bytes in memory. */
export function parseCapture(raw: Buffer, what = 'capture'): Capture {
  const bytes = raw.length > 2 && raw[0] === 0x1f && raw[1] === 0x8b ? gunzipSync(raw) : raw;
  assert.ok(bytes.length >= 24, `${what}: ${bytes.length} bytes are no capture`);
  const isLittle = [magicMicro, magicNano].includes(bytes.readUInt32LE(0));
  const u32 = (at: number): number => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  assert.ok([magicMicro, magicNano].includes(u32(0)), `${what}: magic ${u32(0).toString(16)}`);
  const version = isLittle
    ? [bytes.readUInt16LE(4), bytes.readUInt16LE(6)]
    : [bytes.readUInt16BE(4), bytes.readUInt16BE(6)];
  assert.ok(version[0] === 2 && (version[1] ?? 9) <= 4, `${what}: version ${version.join('.')}`);
  const isNanosecond = u32(0) === magicNano;
  // As libpcap reads it (sf-pcap.c): of a record longer than the file's snapshot length, that much counts.
  const snapshotLength = u32(16) > 0 && u32(16) <= 262144 ? u32(16) : 262144;
  const packets: Packet[] = [];
  let at = 24;
  while (at < bytes.length) {
    assert.ok(at + 16 <= bytes.length, `${what}: ends within a record header`);
    const capturedLength = u32(at + 8);
    assert.ok(at + 16 + capturedLength <= bytes.length, `${what}: ends within a record`);
    const fraction = BigInt(u32(at + 4)) * (isNanosecond ? 1n : 1000n);
    packets.push({
      timestampNs: BigInt(u32(at)) * 1_000_000_000n + fraction,
      wireLength: u32(at + 12),
      data: bytes.subarray(at + 16, at + 16 + Math.min(capturedLength, snapshotLength)),
    });
    at += 16 + capturedLength;
  }
  return { linkType: u32(20) & 0xffff, isNanosecond, packets };
}

/** How {@link writeCapture} writes. */
export interface WriteOptions {
  readonly linkType?: number;
  readonly isNanosecond?: boolean;
  readonly isBigEndian?: boolean;
}

/** The bytes of a capture file. */
export function formatCapture(packets: readonly Packet[], options: WriteOptions = {}): Buffer {
  const { linkType = 1, isNanosecond = true, isBigEndian = false } = options;
  const words = (...values: number[]): Buffer => {
    const buffer = Buffer.alloc(values.length * 4);
    values.forEach((value, i) => {
      if (isBigEndian) buffer.writeUInt32BE(value, i * 4);
      else buffer.writeUInt32LE(value, i * 4);
    });
    return buffer;
  };
  const version = isBigEndian ? 0x00020004 : 0x00040002;
  const parts = [words(isNanosecond ? magicNano : magicMicro, version, 0, 0, 262144, linkType)];
  for (const { timestampNs, wireLength, data } of packets) {
    const fraction = Number(timestampNs % 1_000_000_000n);
    const seconds = Number(timestampNs / 1_000_000_000n);
    parts.push(words(seconds, isNanosecond ? fraction : Math.floor(fraction / 1000), data.length, wireLength), data);
  }
  return Buffer.concat(parts);
}

/** Writes a capture file. */
export function writeCapture(file: string, packets: readonly Packet[], options: WriteOptions = {}): void {
  writeFileSync(file, formatCapture(packets, options));
}

/** Packets of these frames, one microsecond and one nanosecond apart, so that each has a time of its own. */
export function timed(frames: readonly Buffer[], startNs = 1_700_000_000_000_000_001n): Packet[] {
  return frames.map((data, i) => ({ timestampNs: startNs + BigInt(i) * 1001n, wireLength: data.length, data }));
}

/** A packet as text: time, both lengths, every byte. Equal texts are equal packets. */
export function packetText({ timestampNs, wireLength, data }: Packet): string {
  return `${timestampNs} ${wireLength} ${data.length} ${data.toString('hex')}`;
}

/** Asserts that two lists hold the same packets in the same order; names the first that differs. */
export function assertSamePackets(actual: readonly Packet[], expected: readonly Packet[], what: string): void {
  const shared = Math.min(actual.length, expected.length);
  for (let i = 0; i < shared; i++) {
    const [mine, theirs] = [actual[i], expected[i]];
    assert.ok(mine !== undefined && theirs !== undefined);
    assert.equal(packetText(mine), packetText(theirs), `${what}: packet ${i + 1}`);
  }
  assert.equal(actual.length, expected.length, `${what}: number of packets`);
}

/** Asserts that two lists hold the same frames, each as often, in any order and whatever their times. */
export function assertSameFrames(actual: readonly Packet[], expected: readonly Packet[], what: string): void {
  const left = new Map<string, number>();
  for (const { data } of expected) left.set(data.toString('hex'), (left.get(data.toString('hex')) ?? 0) + 1);
  const extra: string[] = [];
  for (const { data } of actual) {
    const key = data.toString('hex');
    const count = left.get(key) ?? 0;
    if (count === 0) extra.push(key);
    else left.set(key, count - 1);
  }
  const missing = [...left].filter(([, count]) => count > 0).map(([key, count]) => `${count} x ${key.slice(0, 160)}`);
  const summary = `${what}: ${missing.length} frames missing, ${extra.length} too many`;
  assert.deepEqual({ missing, extra: extra.map((key) => key.slice(0, 160)) }, { missing: [], extra: [] }, summary);
  assert.equal(actual.length, expected.length, `${what}: number of packets`);
}

/** Asserts that `part` is `whole` with packets left out: nothing new, nothing out of order. `key` says what counts. */
export function assertSubsequence(
  part: readonly Packet[],
  whole: readonly Packet[],
  what: string,
  key: (packet: Packet) => string = packetText,
): void {
  let at = 0;
  part.forEach((packet, i) => {
    const wanted = key(packet);
    while (at < whole.length && key(whole[at] as Packet) !== wanted) at++;
    assert.ok(at < whole.length, `${what}: packet ${i + 1} is new or out of order: ${wanted.slice(0, 200)}`);
    at++;
  });
}

/** The frame alone, for {@link assertSubsequence} where times differ. */
export function frameText({ data }: Packet): string {
  return data.toString('hex');
}
