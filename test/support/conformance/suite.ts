// The conformance suite: what every port driver must do, whatever it is made of.
//
// `testBed()` makes a test with one part for each case (cases_*.ts). The engines of a bed run in one process,
// one after the other; each stands alone, and leaves nothing behind.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineStats, PortStats } from '../../../index.ts';
import { type BrickDescription, type EngineDescription, type EngineProcess, startEngines } from '../engine_process.ts';
import { watchLeaks } from '../leaks.ts';
import { until } from '../programs.ts';
import { type Bed, frameBytes, type Place } from './bed.ts';
import type { Sent } from './traffic.ts';
import { probeFrame } from './wires.ts';

/** Frames on the way at once: fewer than the shortest queue of a path holds (a veth's has 256). */
const windowFrames = 128;
/** How long a probe may take before another is sent: the first ones meet a peer that is not there yet. */
const probeMs = 200;
const probesMax = 100;
/** How long nothing comes out where nothing is on its way. */
const quietMs = 100;

/** What the engine of a run does, on which wires. */
export interface Graph {
  /** The brick; its inputs and outputs are wires. */
  readonly brick: string;
  readonly argument?: BrickDescription['argument'];
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** Bricks at outputs of its own, behind those that are wires; each leads to wires in turn. */
  readonly below?: readonly Graph[];
  readonly batchPackets?: number;
  /** The longest frame. */
  readonly bytes?: number;
}

/** An engine that runs. */
export class Run {
  readonly name: string;
  readonly #suite: Suite;
  #sent = 0;
  #unanswered = 0;

  constructor(suite: Suite, name: string) {
    this.#suite = suite;
    this.name = name;
  }

  /** Frames put in, probes too. */
  get sent(): number {
    return this.#sent;
  }

  /** Probes among them that did not come out: perhaps nobody was there yet. */
  get unanswered(): number {
    return this.#unanswered;
  }

  async stats(): Promise<EngineStats> {
    return (await this.#suite.host()).stats(this.name);
  }

  async statsUntil(what: string, check: (stats: EngineStats) => boolean): Promise<EngineStats> {
    return (await this.#suite.host()).statsUntil(this.name, what, check);
  }

  /** Counters of a wire's port. */
  port(stats: EngineStats, wire: number, role: 'input' | 'output'): PortStats {
    const name = this.#suite.place.portName(wire, role);
    const port = stats.ports.find((candidate) => candidate.role === role && candidate.name === name);
    assert.ok(port !== undefined, `${role} "${name}" has counters`);
    return port;
  }

  /** Puts frames in without waiting for them. */
  send(wire: number, frames: readonly Buffer[]): void {
    this.#sent += frames.length;
    this.#suite.place.wires.send(wire, frames);
  }

  /** Waits until what goes in at one wire comes out at every other, or at some. */
  async settle(from: number, to: readonly number[], which: 'every' | 'some' = 'every'): Promise<void> {
    const { wires } = this.#suite.place;
    const before = to.map((wire) => wires.probes(wire));
    const isThere = (): boolean => to[which]((wire, i) => wires.probes(wire) > (before[i] ?? 0));
    for (let tries = 1; tries <= probesMax; tries++) {
      this.send(from, [probeFrame]);
      if (!(await wires.until(isThere, probeMs))) continue;
      this.#unanswered += tries - Math.max(...to.map((wire, i) => wires.probes(wire) - (before[i] ?? 0)));
      return;
    }
    assert.fail(
      `nothing of ${probesMax} frames into wire ${from} came out of ${to}; ${JSON.stringify(await this.stats())}`,
    );
  }

  /** Waits until nothing comes out any more. */
  async quiet(): Promise<void> {
    const { wires } = this.#suite.place;
    const all = (): number => [0, 1, 2].reduce((sum, wire) => sum + wires.count(wire), 0);
    let before = -1;
    await until('nothing to come out any more', async () => {
      if (before === all()) return true;
      before = all();
      await delay(quietMs);
      return false;
    });
  }

  /** Puts frames in, no more at once than a path holds, until `copies` of each have come out of the wires `to`. */
  async carry(frames: readonly Sent[], from: number, to: readonly number[], copies = 1): Promise<void> {
    const { wires } = this.#suite.place;
    const came = (): number => to.reduce((sum, wire) => sum + wires.frames(wire).length, 0);
    const before = came();
    for (let at = 0; at < frames.length; at += windowFrames) {
      const part = frames.slice(at, at + windowFrames).map(({ data }) => data);
      this.send(from, part);
      const wanted = before + (at + part.length) * copies;
      if (await wires.until(() => came() >= wanted)) continue;
      const stats = `${await wires.takeErrors()} ${JSON.stringify(await this.stats())}`;
      assert.fail(`${came() - before} of ${wanted - before} frames came out of ${to}; ${stats}`);
    }
  }
}

/** One bed while its cases run. */
export class Suite {
  readonly bed: Bed;
  readonly place: Place;
  readonly #t: TestContext;
  #host: EngineProcess | undefined;
  #runs = 0;

  constructor(t: TestContext, bed: Bed, place: Place) {
    this.#t = t;
    this.bed = bed;
    this.place = place;
  }

  /** The process of engines; another one when the last has died. */
  async host(): Promise<EngineProcess> {
    if (this.#host?.isAlive !== true) {
      this.#host = startEngines(this.#t, this.place.engines, []);
      assert.equal(await this.#host.started(), undefined);
    }
    return this.#host;
  }

  /** What to tell that process. */
  describe(graphs: readonly Graph[]): EngineDescription {
    const links = graphs.map((graph) => ({
      brick: this.#brickOf(graph, graph.bytes ?? frameBytes),
      batchPackets: graph.batchPackets ?? -1,
    }));
    return { name: `engine${this.#runs++}`, links };
  }

  #brickOf({ brick, argument, from, to, below = [] }: Graph, bytes: number): BrickDescription {
    const edge = `${brick}${this.#runs}`;
    return {
      type: brick,
      ...(argument === undefined ? {} : { argument }),
      inputs: from.map((wire) => this.place.port(wire, 'input', bytes)),
      outputs: [...to.map((wire) => this.place.port(wire, 'output', bytes)), ...below.map((_, i) => `${edge}{${i}`)],
      children: below.map((child, i) => {
        const description = this.#brickOf(child, bytes);
        return { ...description, inputs: [`${edge}}${i}`] };
      }),
    };
  }

  /**
   * Starts an engine, does `body`, stops it and deletes it. Checks every sum of its counters, against what was put
   * in and what came out too, and that nothing is left behind.
   */
  async run(
    graph: Graph | readonly Graph[],
    body: (run: Run) => Promise<void>,
    options: RunOptions = {},
  ): Promise<void> {
    const graphs = 'brick' in graph ? [graph] : graph;
    const description = this.describe(graphs);
    const wires = [...new Set(graphs.flatMap(wiresOf))];
    const bytes = graphs[0]?.bytes ?? frameBytes;
    const host = await this.host();
    this.place.wires.reset();
    try {
      if (options.peersFirst ?? this.bed.peersFirst) await this.place.attach(wires, bytes);
      await options.prepare?.();
      assert.equal(await host.make(description), undefined);
      const run = new Run(this, description.name);
      await this.place.attach(wires);
      await body(run);
      const stats = await host.stop(run.name);
      await this.#checkCounts(run, stats, graphs, options);
      assert.equal(await host.tell('delete', run.name), undefined);
    } finally {
      // After a failure; else there is no such engine any more.
      if (host.isAlive) await host.tell('halt', description.name);
      await this.place.detach(wires);
    }
    assert.deepEqual(this.place.leftovers(), [], 'left behind by the engine');
  }

  /** What the ports say beside what was put in and came out. */
  async #checkCounts(run: Run, stats: EngineStats, graphs: readonly Graph[], options: RunOptions): Promise<void> {
    const text = JSON.stringify(stats);
    assert.equal(stats.inFlight, 0, `nothing is in flight after the stop: ${text}`);
    if (options.isCut === true) return;
    const known = stats.rxPackets + stats.lost;
    assert.ok(known <= run.sent, `received + lost are no more than ${run.sent} that were put in: ${text}`);
    if (options.losesUncounted !== true)
      assert.ok(known >= run.sent - run.unanswered, `received + lost = ${run.sent} that were put in: ${text}`);
    const { wires } = this.place;
    for (const wire of new Set(graphs.flatMap((graph) => outputsOf(graph)))) {
      const { txPackets } = run.port(stats, wire, 'output');
      await wires.until(() => wires.count(wire) >= txPackets);
      assert.equal(wires.count(wire), txPackets, `sent = came out of wire ${wire}: ${text}`);
    }
  }

  /** What errors and reports call a port: its driver and name, without options. */
  label(wire: number, role: 'input' | 'output'): string {
    return this.place.port(wire, role).replace(/\?.*/, '');
  }

  /** Waits for the report of a port, from number `first` of all on. Returns the reports of that port. */
  async report(wire: number, role: 'input' | 'output', first: number): Promise<string[]> {
    const host = await this.host();
    const start = `port "${this.label(wire, role)}": `;
    const found = (): string[] =>
      host
        .reports()
        .slice(first)
        .filter((report) => report.startsWith(start));
    await until(`a report of ${start}; there were: ${host.reports().slice(first)}`, () => found().length > 0);
    return found();
  }

  /** Ends the process of engines; it must end well. */
  async close(): Promise<void> {
    if (this.#host?.isAlive === true) await this.#host.quit();
  }
}

/** What is different in a run. */
export interface RunOptions {
  /** The peers are there before the engine; else as the bed says. */
  readonly peersFirst?: boolean;
  /** Done before the engine is made. */
  prepare?(): Promise<void>;
  /** Frames are lost where nobody can count them: an interface was down. */
  readonly losesUncounted?: boolean;
  /** Frames were on their way when the engine was stopped, or a wire was cut: some were lost elsewhere. */
  readonly isCut?: boolean;
}

/** The wires of a graph. */
function wiresOf(graph: Graph): number[] {
  return [...graph.from, ...graph.to, ...(graph.below ?? []).flatMap(wiresOf)];
}

function outputsOf({ to, below = [] }: Graph): number[] {
  return [...to, ...below.flatMap(outputsOf)];
}

/** A case: a property that a driver has. */
export interface Case {
  readonly name: string;
  /** Why it is not for this bed, or false. */
  skip?(bed: Bed, place: Place): string | false;
  run(suite: Suite, t: TestContext): Promise<void>;
}

/** The test of one bed. */
export function testBed(bed: Bed, cases: readonly Case[]): void {
  test(`port driver conformance: ${bed.name}`, { skip: bed.skip() }, async (t) => {
    const noLeaks = watchLeaks();
    await t.test('in its place', async (t) => {
      const place = await bed.make(t);
      const suite = new Suite(t, bed, place);
      for (const { name, skip, run } of cases)
        await t.test(name, { skip: skip?.(bed, place) ?? false }, (t) => run(suite, t));
      await suite.close();
    });
    await noLeaks();
  });
}
