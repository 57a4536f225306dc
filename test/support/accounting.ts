// Asserts the accounting contract: received + copies = sent + drops by named reason + in flight,
// for the engine, each brick, each port and each connection between them.
import assert from 'node:assert/strict';
import type { EngineStats, PortStats } from '../../index.ts';

/** The part of an engine's plan that says who feeds whom; a plan read back from JSON serves as well. */
export interface Wiring {
  readonly inputs: readonly { readonly driver: string; readonly name: string; readonly brick: number }[];
  readonly outputs: readonly {
    readonly driver: string;
    readonly name: string;
    readonly brick: number;
    readonly output: number;
  }[];
  readonly edges: readonly { readonly from: number; readonly output: number; readonly to: number }[];
}

/** The sum of a table of counters. */
export function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Ports of a role with their drops, as one number each. */
function handled(port: PortStats): number {
  return port.txPackets + total(port.drops) + port.inFlight;
}

/** Checks every sum; with `wiring` also that what one part sends is what the next receives. */
export function assertAccounting(stats: EngineStats, wiring?: Wiring): void {
  const what = `engine "${stats.engine}"`;
  assert.equal(stats.dropped, total(stats.drops), `${what}: dropped is the sum of drops`);
  const left = stats.rxPackets + stats.copies;
  const right = stats.txPackets + stats.dropped + stats.inFlight;
  assert.equal(left, right, `${what}: received + copies = sent + drops + in flight\n${JSON.stringify(stats)}`);
  const inputs = stats.ports.filter((port) => port.role === 'input');
  const outputs = stats.ports.filter((port) => port.role === 'output');
  const add = (ports: readonly PortStats[], of: (port: PortStats) => number): number =>
    ports.reduce((sum, port) => sum + of(port), 0);
  assert.equal(
    add(inputs, (port) => port.rxPackets),
    stats.rxPackets,
    `${what}: inputs received what it received`,
  );
  assert.equal(
    add(inputs, (port) => port.rxBytes),
    stats.rxBytes,
    `${what}: bytes received`,
  );
  assert.equal(
    add(outputs, (port) => port.txPackets),
    stats.txPackets,
    `${what}: outputs sent what it sent`,
  );
  assert.equal(
    add(outputs, (port) => port.txBytes),
    stats.txBytes,
    `${what}: bytes sent`,
  );
  assert.equal(
    add(stats.ports, (port) => total(port.lost)),
    stats.lost,
    `${what}: lost`,
  );
  for (const brick of stats.bricks) {
    const sent = brick.txPackets + total(brick.drops);
    assert.equal(
      brick.rxPackets + brick.copies,
      sent,
      `${what}: brick "${brick.brick}": received + copies = sent + drops`,
    );
    const given = brick.outputs.reduce((sum, count) => sum + count, 0);
    assert.equal(given, brick.txPackets, `${what}: brick "${brick.brick}": its outputs add up to what it sent`);
  }
  const reasons = [...stats.ports, ...stats.bricks].map(({ drops }) => drops);
  for (const [reason, count] of Object.entries(stats.drops)) {
    const named = reasons.reduce((sum, drops) => sum + (drops[reason] ?? 0), 0);
    assert.ok(named <= count, `${what}: ports and bricks drop no more "${reason}" than the engine says`);
  }
  if (wiring !== undefined) assertWiring(stats, wiring);
}

function assertWiring(stats: EngineStats, wiring: Wiring): void {
  const find = (role: string, { driver, name }: { driver: string; name: string }): PortStats[] =>
    stats.ports.filter((port) => port.role === role && port.driver === driver && port.name === name);
  const received = stats.bricks.map(() => 0);
  for (const input of wiring.inputs) {
    const [port] = find('input', input);
    // Several null generators have one name: then only their sum can be told, which the engine's check did.
    if (find('input', input).length > 1) return;
    assert.ok(port !== undefined, `input ${input.driver}:${input.name} has counters`);
    received[input.brick] = (received[input.brick] ?? 0) + port.rxPackets;
  }
  for (const edge of wiring.edges) {
    received[edge.to] = (received[edge.to] ?? 0) + (stats.bricks[edge.from]?.outputs[edge.output] ?? 0);
  }
  stats.bricks.forEach((brick, i) => {
    assert.equal(brick.rxPackets, received[i], `brick ${i} "${brick.brick}" received what was sent to it`);
  });
  const seen = new Map<string, { given: number; ports: PortStats[] }>();
  for (const output of wiring.outputs) {
    const key = `${output.driver}:${output.name}`;
    const entry = seen.get(key) ?? { given: 0, ports: find('output', output) };
    entry.given += stats.bricks[output.brick]?.outputs[output.output] ?? 0;
    seen.set(key, entry);
  }
  // What an output did not take yet is the engine's: in flight, or dropped by it when it stops.
  let notTaken = 0;
  for (const [key, { given, ports }] of seen) {
    assert.ok(ports.length > 0, `output ${key} has counters`);
    const taken = ports.reduce((sum, port) => sum + handled(port), 0);
    assert.ok(
      taken <= given,
      `output ${key}: sent + drops + in flight are no more than given: ${JSON.stringify(ports)}`,
    );
    notTaken += given - taken;
  }
  const of = (parts: readonly { readonly drops: Readonly<Record<string, number>> }[]): number =>
    parts.reduce((sum, { drops }) => sum + total(drops), 0);
  const ownDrops = stats.dropped - of(stats.ports) - of(stats.bricks);
  const ownInFlight = stats.inFlight - stats.ports.reduce((sum, port) => sum + port.inFlight, 0);
  assert.equal(
    notTaken,
    ownDrops + ownInFlight,
    `what outputs did not take, the engine has or dropped: ${JSON.stringify(stats)}`,
  );
}
