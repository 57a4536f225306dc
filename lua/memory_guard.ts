// Keeps the data of scripts within a budget: finds out when they exceed it, and which chunk is to end for it.
//
// Lua's data are objects of JavaScript, in the heap that everything else of this process lives in: when that is full, the
// process ends with all its engines. What is in use is known at once (0.25 microseconds), but includes garbage; only a full
// collection tells (0.4 s for 430 MiB of tables), so there is one only where the budget seems to be exceeded, and the next
// one not before memory has grown substantially. Owned by the scheduler, which ends the chunk.
import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { stringBytesMade, stringBytesPerLook } from './fengari_strings.ts';
import type { LuaState } from './lua_api.ts';
import { reachedBytes, sharedObjects } from './reach.ts';
import type { Task } from './task.ts';

/** Of all scripts together, over what the heap held at the start. */
export const memoryBudgetBytes = 512 * 1024 * 1024;

/** Between two looks at the end of slices. */
const lookMs = 1;

/** Above the budget memory is looked at again after it has grown by this part of the budget, below it by a larger one. */
const overBudgetPart = 1 / 32;
const underBudgetPart = 1 / 4;

/**
 * Where globals hold the data, chunks are tried: after each slice that made at least so much there is a collection, and what
 * is left of it was kept by the chunk that ran. One that has kept so much ends. What is only made and dropped, in whatever
 * amount, tells nothing. So many slices at most: each costs a collection.
 */
const trialStepBytes = 64 * 1024;
const trialBytes = 2 ** 20;
const trialSlicesMax = 40;

/** Above this multiple of the budget somebody ends even where trials have found nobody. */
const hardLimit = 2;

/** A chunk that holds this part of all data by itself is the one to end. */
const holderPart = 1 / 4;

const mebibyte = 2 ** 20;

let collector: (() => void) | undefined;

function collectGarbage(): void {
  if (collector === undefined) {
    setFlagsFromString('--expose-gc');
    collector = runInNewContext('gc') as () => void;
  }
  collector();
  // The bytes of strings are freed while the program goes on: the second call waits for that.
  collector();
}

/** Bytes of the heap, and of strings and buffers outside it. */
function usedBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

/** A chunk that is to end, and the text of its error. */
export interface Culprit {
  readonly task: Task;
  readonly message: string;
}

export class MemoryGuard {
  readonly #main: LuaState;
  readonly #budgetBytes: number;
  readonly #startBytes: number;
  /** Above this a collection has to tell what is really held. */
  #lookAboveBytes: number;
  /** What was held when globals were first found to hold too much; undefined while they do not. */
  #globalsBytes: number | undefined;
  /** Slices that are still to be tried; 0: there is no trial. */
  #trialSlices = 0;
  /** What was held after the collection before. */
  #heldBytes = 0;
  #lastBytes: number;
  #lastMs = 0;
  #lastStringBytes = 0;

  /** @param main the thread that all chunks have their globals from */
  constructor(main: LuaState, budgetBytes = memoryBudgetBytes) {
    this.#main = main;
    this.#startBytes = usedBytes();
    // Where the heap itself is small, it must not be the first to be full.
    const { heap_size_limit, used_heap_size } = getHeapStatistics();
    this.#budgetBytes = Math.min(budgetBytes, (heap_size_limit - used_heap_size) / 2);
    this.#lookAboveBytes = this.#startBytes + this.#budgetBytes;
    this.#lastBytes = this.#startBytes;
  }

  /** True when many strings were made since the last look: the end of the slice may be too late. */
  get isPressing(): boolean {
    return stringBytesMade() - this.#lastStringBytes >= stringBytesPerLook;
  }

  /** {@link look} at the end of a slice: not after each of many short ones. */
  lookAfter(running: Task, chunks: ReadonlyMap<Task, LuaState>): Culprit | undefined {
    const isSoon = performance.now() - this.#lastMs < lookMs && !this.isPressing && this.#trialSlices === 0;
    return isSoon ? undefined : this.look(running, chunks);
  }

  /** Looks at what is in use, on account of the chunk that runs. Above the budget: the chunk that has to end. */
  look(running: Task, chunks: ReadonlyMap<Task, LuaState>): Culprit | undefined {
    this.#lastMs = performance.now();
    this.#lastStringBytes = stringBytesMade();
    const used = usedBytes();
    const made = used - this.#lastBytes;
    running.grownBytes += made;
    this.#lastBytes = used;
    const isTrial = this.#trialSlices > 0 && made >= trialStepBytes;
    if (used <= this.#lookAboveBytes && !isTrial) return undefined;
    const held = this.#collect(chunks.keys(), used);
    // What was told to end holds its data until it has.
    const isEnding = [...chunks.keys()].some((task) => task.ending !== undefined);
    if (held <= this.#budgetBytes || isEnding) return undefined;
    return isTrial ? this.#tried(running, held) : this.#culprit(running, chunks, held);
  }

  /** To be called once a chunk that had to end is gone: makes the memory that it held free. */
  collect(tasks: Iterable<Task>): void {
    this.#collect(tasks, usedBytes());
  }

  /** Collects garbage; returns the bytes that scripts really hold. */
  #collect(tasks: Iterable<Task>, used: number): number {
    collectGarbage();
    const live = usedBytes();
    const held = live - this.#startBytes;
    // Of what was made since then by each chunk, the same part was garbage.
    const made = Math.max(1, used - this.#startBytes - this.#heldBytes);
    const part = Math.min(1, Math.max(0, (held - this.#heldBytes) / made));
    for (const task of tasks) {
      task.keptBytes += task.grownBytes * part;
      task.grownBytes = 0;
    }
    this.#heldBytes = held;
    const isOver = held > this.#budgetBytes;
    if (!isOver) {
      this.#globalsBytes = undefined;
      this.#trialSlices = 0;
    }
    const margin = this.#budgetBytes * (isOver ? overBudgetPart : underBudgetPart);
    this.#lookAboveBytes = Math.max(this.#startBytes + this.#budgetBytes, live + margin);
    this.#lastBytes = live;
    return held;
  }

  #culprit(running: Task, chunks: ReadonlyMap<Task, LuaState>, held: number): Culprit | undefined {
    const shared = sharedObjects(this.#main);
    const sizes = [...chunks].map(([task, thread]) => ({ task, bytes: reachedBytes(thread, shared) }));
    const [largest] = sizes.sort((a, b) => b.bytes - a.bytes);
    if (largest !== undefined && largest.bytes >= held * holderPart) {
      return { task: largest.task, message: `${this.#text}; this one has grown most` };
    }
    // Chunks put data into globals, perhaps some that have ended: those that run are not to blame for that, but for what
    // they add from now on.
    const tasks = [...chunks.keys()];
    if (held > hardLimit * this.#budgetBytes) {
      return this.#grower(tasks.reduce((most, task) => (task.keptBytes > most.keptBytes ? task : most), running));
    }
    if (this.#globalsBytes === undefined) {
      this.#globalsBytes = held;
    } else if (this.#trialSlices === 0 && held - this.#globalsBytes >= this.#budgetBytes * overBudgetPart) {
      this.#trialSlices = trialSlicesMax;
      for (const task of tasks) task.keptBytes = 0;
    }
    return undefined;
  }

  /** The chunk that ran since the collection before, where it has kept too much by now. */
  #tried(running: Task, held: number): Culprit | undefined {
    this.#trialSlices--;
    if (running.keptBytes >= trialBytes) {
      this.#trialSlices = 0;
      return this.#grower(running);
    }
    // Nobody: again when globals have grown further.
    if (this.#trialSlices === 0) this.#globalsBytes = held;
    return undefined;
  }

  #grower(task: Task): Culprit {
    const reason = 'globals hold most of that (set to nil what is not needed), and this one was still growing';
    return { task, message: `${this.#text}; ${reason}` };
  }

  get #text(): string {
    const budget = Math.round(this.#budgetBytes / mebibyte);
    return `not enough memory: the scripts' data exceed ${budget} MiB`;
  }
}
