// Reads an engine's page of counters: the layout once for each start, the values whenever asked, without a call.
import { type Application, applicationOf } from './application.ts';
import type { CounterDescription } from './drivers.ts';
import { engineCounters, engineDescribe } from './native.ts';

/** Counters of one port. Packets and bytes on the wire. */
export interface PortStats {
  /** As the data plane names it: `packet:eth3`, `pipe:eth3}0`. */
  readonly port: string;
  readonly driver: string;
  readonly name: string;
  readonly role: 'input' | 'output';
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  /** Accepted, neither sent nor dropped yet. */
  readonly inFlight: number;
  /** Packets dropped by this port, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** Packets lost before the port received them, by reason. */
  readonly lost: Readonly<Record<string, number>>;
  /** The driver's other counters and gauges. */
  readonly others: Readonly<Record<string, number>>;
  /** What the device itself counts, by its own names, where it does: beside the accounting. */
  readonly device?: Readonly<Record<string, number>>;
  /** Of a pipe: who is attached, if somebody is. */
  readonly application?: Application;
}

/** Counters of one brick: received + copies = sent + the sum of drops. */
export interface BrickStats {
  readonly brick: string;
  readonly rxPackets: number;
  readonly txPackets: number;
  /** Packets made by sending one to several outputs. */
  readonly copies: number;
  readonly drops: Readonly<Record<string, number>>;
  readonly others: Readonly<Record<string, number>>;
  /** Packets to each output. */
  readonly outputs: readonly number[];
  /** The brick's own counters of each output, by name. */
  readonly outputOthers: Readonly<Record<string, readonly number[]>>;
}

/** Counters of an engine: received + copies = sent + the sum of drops + in flight. */
export interface EngineStats {
  readonly engine: string;
  readonly state: 'stopped' | 'running' | 'finished';
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly copies: number;
  /** Over all ports and bricks, by reason. */
  readonly drops: Readonly<Record<string, number>>;
  /** The sum of drops. */
  readonly dropped: number;
  /** Before they were received: the kernel's ring was full. */
  readonly lost: number;
  readonly inFlight: number;
  /** The engine's own counters and gauges: turns of its loop and the like. */
  readonly others: Readonly<Record<string, number>>;
  readonly ports: readonly PortStats[];
  readonly bricks: readonly BrickStats[];
}

/** The process at the application's end of a pipe, in either direction; 0: none. Undefined where the port is no pipe. */
export function applicationPid({ others }: Pick<PortStats, 'others'>): number | undefined {
  return others.reader_pid ?? others.writer_pid;
}

/** A block of the page: `at` is the index of its first value. */
interface Block {
  readonly at: number;
  readonly counters: readonly CounterDescription[];
}

interface BrickLayout {
  readonly name: string;
  /** Index of the packets to output 0; behind those to all outputs come its `outputCounters` of output 0, of output 1, ... */
  readonly outputsAt: number;
  readonly outputs: number;
  readonly outputCounters: readonly CounterDescription[];
}

interface PortLayout extends Block {
  readonly role: 'input' | 'output';
  readonly driver: string;
  readonly name: string;
  /** They follow `counters`. */
  readonly deviceCounters: readonly CounterDescription[];
}

interface Layout {
  readonly engine: Block;
  readonly ports: readonly PortLayout[];
  readonly bricks: readonly (Block & BrickLayout)[];
}

type Kind = CounterDescription['kind'];

/** Counters that have a field of their own and are left out of `others`. */
const named = new Set(['rx_packets', 'rx_bytes', 'tx_packets', 'tx_bytes', 'in_flight', 'copies']);

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The counters of one engine of the data plane. Drop it when the engine is deleted. */
export class CounterPage {
  readonly #values: BigUint64Array;
  readonly #layout: Layout;
  /** Of each port, as it was found the last time. */
  readonly #applications: (Application | undefined)[] = [];

  constructor(engine: number) {
    this.#values = engineCounters(engine);
    this.#layout = JSON.parse(engineDescribe(engine)) as Layout;
  }

  #value(index: number): number {
    return Number(this.#values[index] ?? 0n);
  }

  #named(block: Block, name: string): number {
    const offset = block.counters.findIndex((counter) => counter.name === name);
    return offset < 0 ? 0 : this.#value(block.at + offset);
  }

  #kind(block: Block, ...kinds: Kind[]): Record<string, number> {
    const values: Record<string, number> = {};
    block.counters.forEach((counter, offset) => {
      if (kinds.includes(counter.kind) && !named.has(counter.name))
        values[counter.name] = this.#value(block.at + offset);
    });
    return values;
  }

  #ports(): PortStats[] {
    return this.#layout.ports.map((port, i) => ({
      port: `${port.driver}:${port.name}`,
      driver: port.driver,
      name: port.name,
      role: port.role,
      rxPackets: this.#named(port, 'rx_packets'),
      rxBytes: this.#named(port, 'rx_bytes'),
      txPackets: this.#named(port, 'tx_packets'),
      txBytes: this.#named(port, 'tx_bytes'),
      inFlight: this.#named(port, 'in_flight'),
      drops: this.#kind(port, 'drop'),
      lost: this.#kind(port, 'lost'),
      ...this.#others(port, i),
      ...this.#device(port),
    }));
  }

  #device({ at, counters, deviceCounters }: PortLayout): Pick<PortStats, 'device'> {
    if (deviceCounters.length === 0) return {};
    const first = at + counters.length;
    return { device: Object.fromEntries(deviceCounters.map(({ name }, i) => [name, this.#value(first + i)])) };
  }

  #others(port: Block, i: number): Pick<PortStats, 'others' | 'application'> {
    const others = this.#kind(port, 'total', 'gauge');
    const application = applicationOf(applicationPid({ others }) ?? 0, this.#applications[i]);
    this.#applications[i] = application;
    return application === undefined ? { others } : { others, application };
  }

  #bricks(): BrickStats[] {
    return this.#layout.bricks.map((brick) => ({
      brick: brick.name,
      rxPackets: this.#named(brick, 'rx_packets'),
      txPackets: this.#named(brick, 'tx_packets'),
      copies: this.#named(brick, 'copies'),
      drops: this.#kind(brick, 'drop'),
      others: this.#kind(brick, 'total', 'gauge'),
      outputs: Array.from({ length: brick.outputs }, (_, output) => this.#value(brick.outputsAt + output)),
      outputOthers: this.#outputOthers(brick),
    }));
  }

  #outputOthers({ outputsAt, outputs, outputCounters }: BrickLayout): Record<string, number[]> {
    const first = outputsAt + outputs;
    const values = (counter: number) =>
      Array.from({ length: outputs }, (_, output) => this.#value(first + output * outputCounters.length + counter));
    return Object.fromEntries(outputCounters.map(({ name }, counter) => [name, values(counter)]));
  }

  /** Pausable sources that have packets left. */
  get sourcesLeft(): number {
    return this.#named(this.#layout.engine, 'sources_left');
  }

  /** Outputs whose reader still has packets to fetch. */
  get undelivered(): number {
    return this.#named(this.#layout.engine, 'undelivered_ports');
  }

  /** The values now. While the engine runs they are of slightly different moments. */
  read(engine: string, state: EngineStats['state']): EngineStats {
    const ports = this.#ports();
    const bricks = this.#bricks();
    const drops = this.#kind(this.#layout.engine, 'drop');
    for (const { drops: reasons } of [...ports, ...bricks]) {
      for (const [reason, count] of Object.entries(reasons)) drops[reason] = (drops[reason] ?? 0) + count;
    }
    return {
      engine,
      state,
      rxPackets: sum(ports.map((port) => port.rxPackets)),
      rxBytes: sum(ports.map((port) => port.rxBytes)),
      txPackets: sum(ports.map((port) => port.txPackets)),
      txBytes: sum(ports.map((port) => port.txBytes)),
      copies: sum(bricks.map((brick) => brick.copies)),
      drops,
      dropped: sum(Object.values(drops)),
      lost: sum(ports.map((port) => sum(Object.values(port.lost)))),
      inFlight: this.#named(this.#layout.engine, 'in_flight') + sum(ports.map((port) => port.inFlight)),
      others: this.#kind(this.#layout.engine, 'total', 'gauge'),
      ports,
      bricks,
    };
  }
}

/** The counters of an engine that was never started. */
export function emptyStats(engine: string): EngineStats {
  return {
    engine,
    state: 'stopped',
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    copies: 0,
    drops: {},
    dropped: 0,
    lost: 0,
    inFlight: 0,
    others: {},
    ports: [],
    bricks: [],
  };
}
