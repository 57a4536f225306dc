// PktEngine: the life of one engine. Describe (link), validate (plan), act (start, stop, delete).
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { abi } from './abi.ts';
import { applyPlan } from './apply.ts';
import { type Command, Companion, companionCommand } from './companion.ts';
import { CounterPage, type EngineStats, emptyStats } from './counters.ts';
import { drivers, getDefaultDriver, prepareDrivers } from './drivers.ts';
import { BricksError } from './errors.ts';
import type { BrickNode, Link } from './graph.ts';
import * as native from './native.ts';
import { type Plan, type PlannedPort, planGraph, readsSame } from './plan.ts';
import { nameReports, takeReports, unnameReports } from './reports.ts';

/** Settings of an engine. */
export interface PktEngineOptions {
  /** Slots of 2048 bytes in each pipe, rounded up to a power of two. Default 512. */
  readonly bufferSlots?: number;
  /** Processor that its thread is pinned to. Default -1: none. */
  readonly cpu?: number;
}

/** How a brick is linked. */
export interface LinkOptions {
  /** Packets in a batch. Default -1: 256. */
  readonly batchPackets?: number;
  /** Several engines share one interface when each has a queue id. Default -1: none. */
  readonly queueId?: number;
}

const engines = new Map<string, PktEngine>();
let defaultBatchPackets: number = abi.batchPacketsDefault;

function checkRange(what: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw BricksError.of('LIMIT_EXCEEDED', { what, value, min, max });
  }
}

/** Changes the batch size of bricks linked without one (`bricks -b`). 1 to 4096 packets. */
export function setDefaultBatchPackets(packets: number): void {
  checkRange('batch', packets, 1, abi.batchPacketsMax);
  defaultBatchPackets = packets;
}

/** How often wait() looks: engines never call JavaScript. */
const waitPollMs = 5;

/**
 * A packet engine: one thread that carries packets from input ports through bricks to output ports.
 *
 * Every method throws a {@link BricksError} whose message says what to do.
 */
export class PktEngine {
  readonly name: string;
  readonly bufferSlots: number;
  readonly cpu: number;
  #links: Link[] = [];
  #plan: Plan | undefined;
  #handle: number | undefined;
  #page: CounterPage | undefined;
  #companions: Companion[] = [];
  #deleted = false;

  constructor(name: string, options: PktEngineOptions = {}) {
    const { bufferSlots = abi.bufferSlotsDefault, cpu = -1 } = options;
    if (engines.has(name)) throw BricksError.of('ENGINE_EXISTS', { engine: name });
    checkRange('bytes in an engine name', Buffer.byteLength(name), 1, abi.engineNameMax);
    if (/\p{Cc}/u.test(name)) {
      const what = `engine ${JSON.stringify(name)}`;
      throw BricksError.of('ARGUMENT_INVALID', {
        what,
        problem: 'its name holds control characters',
        hint: 'leave them out',
      });
    }
    checkRange('buffer slots', bufferSlots, 1, abi.bufferSlotsMax);
    checkRange('cpu', cpu, -1, abi.cpusMax - 1);
    checkRange('engines', engines.size + 1, 1, abi.enginesMax);
    this.name = name;
    this.bufferSlots = bufferSlots;
    this.cpu = cpu;
    engines.set(name, this);
  }

  /** The engine of that name. Throws ENGINE_UNKNOWN. */
  static retrieve(name: string): PktEngine {
    const engine = engines.get(name);
    if (engine === undefined) {
      throw BricksError.of('ENGINE_UNKNOWN', { engine: name, have: [...engines.keys()].join(', ') || 'none' });
    }
    return engine;
  }

  /** Every engine, in the order they were made. */
  static all(): PktEngine[] {
    return [...engines.values()];
  }

  /** stopped; running; finished: runs, but every source is exhausted and its packets are with their ports. */
  get state(): EngineStats['state'] {
    const state = this.#handle === undefined ? abi.engineStopped : native.engineState(this.#handle);
    if (state === abi.engineRunning) return 'running';
    return state === abi.engineFinished ? 'finished' : 'stopped';
  }

  /** True while the thread exists. */
  get isRunning(): boolean {
    return this.state !== 'stopped';
  }

  /** Packets in a batch, as linked. */
  get batchPackets(): number {
    return this.#plan?.batchPackets ?? defaultBatchPackets;
  }

  /** The validated graph, undefined while nothing is linked. */
  get plan(): Plan | undefined {
    return this.#plan;
  }

  /**
   * Adds a brick, with all that is linked below it. Validates the whole graph and changes nothing when it throws.
   * Opens nothing: that is start().
   */
  link(brick: BrickNode, options: LinkOptions = {}): this {
    this.#checkAlive();
    this.#checkStopped('link');
    const { batchPackets = -1, queueId = -1 } = options;
    if (batchPackets !== -1) checkRange('batch', batchPackets, 1, abi.batchPacketsMax);
    if (queueId !== -1) checkRange('queue id', queueId, 0, abi.queueIdMax);
    const owner = PktEngine.all().find((engine) => engine.#links.some((link) => link.brick === brick));
    if (owner !== undefined) {
      throw BricksError.of('BRICK_IN_USE', { brick: brick.descriptor.name, engine: owner.name });
    }
    const link: Link = {
      brick,
      batchPackets: batchPackets === -1 ? defaultBatchPackets : batchPackets,
      queueId: queueId === -1 ? undefined : queueId,
    };
    const links = [...this.#links, link];
    const plan = this.#validate(links);
    this.#release();
    this.#links = links;
    this.#plan = plan;
    return this;
  }

  /** Takes every brick off again. */
  unlink(): this {
    this.#checkAlive();
    this.#checkStopped('unlink');
    this.#release();
    this.#links = [];
    this.#plan = undefined;
    return this;
  }

  /** Opens the ports and starts the thread, which runs when this returns. When a port fails to open, none stays open. */
  start(): this {
    this.#checkAlive();
    if (this.isRunning) throw BricksError.of('ENGINE_STARTED', { engine: this.name });
    if (this.#plan === undefined) throw BricksError.of('ENGINE_NOT_LINKED', { engine: this.name });
    // Bricks may have been connected further since they were linked.
    const plan = this.#validate(this.#links);
    if (!isDeepStrictEqual(plan, this.#plan)) this.#release();
    this.#plan = plan;
    if (this.#handle === undefined) {
      prepareDrivers([...plan.inputs, ...plan.outputs].map(({ driver }) => driver));
      this.#handle = applyPlan(this.name, this.bufferSlots, this.cpu, plan);
      nameReports(this.#handle, this.name);
    }
    const handle = this.#handle;
    const commands = plan.companions.map(companionCommand);
    native.engineStart(handle);
    // What devices count is known once they are open, and may be another device's than before.
    this.#page = new CounterPage(handle);
    this.#companions = plan.companions.map(
      ({ name, node, output }, i) =>
        new Companion({
          what: `brick "${node.descriptor.name}" (${name})`,
          engine: this.name,
          command: commands[i] as Command,
          restarts: node.descriptor.companion?.restarts(node.options) ?? false,
          attaches: () => this.stats().ports.find((port) => port.name === `${name}}1`)?.others.attaches ?? 0,
          giveUp: () => native.engineAwaitReader(handle, output, false),
        }),
    );
    return this;
  }

  /** Ends the thread, flushes and closes the ports. The counters stay. */
  stop(): this {
    this.#checkAlive();
    if (this.#handle === undefined || !this.isRunning)
      throw BricksError.of('ENGINE_NOT_RUNNING', { engine: this.name });
    native.engineStop(this.#handle);
    // Their pipes have ended, and with that they end.
    for (const companion of this.#companions) companion.stop();
    this.#companions = [];
    takeReports();
    return this;
  }

  /** Ends the engine for good; its name is free again. */
  delete(): void {
    this.#checkAlive();
    this.#checkStopped('delete');
    this.#release();
    this.#deleted = true;
    engines.delete(this.name);
  }

  /** The counters now. Exact once the engine stands still. */
  stats(): EngineStats {
    return this.#page?.read(this.name, this.state) ?? emptyStats(this.name);
  }

  /** True once every pausable source is exhausted and its packets are delivered or dropped with a reason. */
  get isDelivered(): boolean {
    if (this.#page === undefined || !this.isRunning) return true;
    return this.#page.sourcesLeft === 0 && this.#page.undelivered === 0;
  }

  /**
   * Waits until {@link isDelivered}, or the engine is stopped: true; false after `timeoutS` seconds or when
   * `signal` aborts. An engine without pausable sources answers at once.
   */
  async wait(timeoutS = Number.POSITIVE_INFINITY, signal?: AbortSignal): Promise<boolean> {
    const end = performance.now() + timeoutS * 1000;
    while (!this.isDelivered) {
      if (performance.now() >= end || signal?.aborted) return false;
      await delay(waitPollMs);
    }
    return true;
  }

  #validate(links: readonly Link[]): Plan {
    const plan = planGraph(links, { engine: this.name, drivers, defaultDriver: getDefaultDriver() });
    for (const other of engines.values()) {
      if (other !== this && other.#plan !== undefined) checkShared(plan, other.name, other.#plan);
    }
    return plan;
  }

  #release(): void {
    if (this.#handle === undefined) return;
    this.#page = undefined;
    native.engineDelete(this.#handle);
    unnameReports(this.#handle);
    this.#handle = undefined;
  }

  #checkAlive(): void {
    if (this.#deleted) throw BricksError.of('ENGINE_DELETED', { engine: this.name });
  }

  #checkStopped(action: string): void {
    if (this.isRunning) throw BricksError.of('ENGINE_RUNNING', { engine: this.name, action });
  }
}

/** Pipes have one name space, whichever way packets go: one engine serves a name. */
function checkPipes(plan: Plan, engine: string, other: Plan): void {
  const its = new Map([...other.outputs, ...other.inputs].filter(isPipe).map((port) => [port.name, port]));
  for (const mine of [...plan.outputs, ...plan.inputs].filter(isPipe)) {
    const shared = its.get(mine.name);
    if (shared === undefined) continue;
    const side = shared.driver === 'inject' ? 'input' : 'output';
    throw BricksError.of('PIPE_SHARED', { port: mine.text, side, engine });
  }
}

function isPipe({ names }: PlannedPort): boolean {
  return names === 'pipe';
}

/** What two engines of one process may not both do. */
function checkShared(plan: Plan, engine: string, other: Plan): void {
  const shared = plan.bricks.find(({ node }) => other.bricks.some((its) => its.node === node));
  if (shared !== undefined) throw BricksError.of('BRICK_IN_USE', { brick: shared.node.descriptor.name, engine });
  checkPipes(plan, engine, other);
  for (const mine of plan.inputs) {
    if (mine.names === 'file') continue; // and as many readers as there may be
    if (other.inputs.some((its) => readsSame(mine, its))) {
      throw BricksError.of('INPUT_SHARED', { port: mine.text, engine });
    }
  }
  for (const mine of plan.outputs) {
    if (mine.names !== 'file') continue; // a file has one writer
    if (other.outputs.some((its) => its.driver === mine.driver && its.name === mine.name)) {
      throw BricksError.of('OUTPUT_SHARED', { port: mine.text, engine });
    }
  }
}
