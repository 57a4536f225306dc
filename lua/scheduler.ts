// Runs chunks of Lua so that none of them ever blocks the process.
//
// Every chunk is a coroutine. A count hook yields it when its slice of time is over, and the event loop resumes it: one
// slice a turn, round robin; chunks that have not run since they came, or since what they waited for, have every other
// turn, so that an answer at a prompt does not wait for all scripts that spin. What has to wait (sleep, a child process,
// an engine) suspends the chunk until a promise settles. The user's own coroutines (lua/coroutines.ts) pass such a
// suspension up to the chunk they run in.
//
// A chunk that has to end is made to raise first; one that swallows that is suspended and never resumed.
//
// Nor does a chunk fill the memory: lua/memory_guard.ts is asked at the end of slices, and whoever prints faster than its
// reader reads is suspended until there is room.
import { LuaCallError } from './call_error.ts';
import { displayText, pushText, toText, typeName } from './convert.ts';
import { guarded, internalErrorText, pushFunction } from './functions.ts';
import { blockingMsMax, blockingSeconds } from './limits.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import type { Culprit, MemoryGuard } from './memory_guard.ts';
import { readResults } from './results.ts';
import { ChunkEnd, type Outcome, type Output, type ResultFormat, Task, type Wait } from './task.ts';
import { cutText, messageBytesMax, tracebackBytesMax } from './text_limit.ts';

/** How long a chunk runs before others get their turn. */
const sliceMs = 5;

/** Instructions between two looks at the clock. */
const hookInstructions = 1000;

/** Calls of os.clock() in one slice after which the chunk is taken to wait for time to pass. */
const clockCallsMax = 50;

/** After a chunk has ended for its memory, until that is collected. */
const collectionDelayMs = 100;

const unyieldable = 'a callback of table.sort, string.gsub, load, xpcall or a metamethod';

export type { Outcome, Output, ResultFormat, ReturnedValue, Task } from './task.ts';

export class Scheduler {
  readonly #main: LuaState;
  readonly #guard: MemoryGuard;
  /** Chunks that have used up a slice, and those that have not run since they came or were woken. */
  readonly #ready: Task[] = [];
  readonly #fresh: Task[] = [];
  #wasFresh = false;
  /** The chunks on their way, and the thread of each: what a chunk held is free once it has ended. */
  readonly #tasks = new Map<Task, LuaState>();
  #current: Task | undefined;
  /** The running chunk's thread, and the coroutines it has resumed: the last one runs. */
  #chain: LuaState[] = [];
  #isSuspending = false;
  #isScheduled = false;
  #sliceEnd = 0;
  /** True when the slice ends early: the output is full. */
  #isSliceOver = false;
  #clockCalls = 0;

  constructor(main: LuaState, guard: MemoryGuard) {
    this.#main = main;
    this.#guard = guard;
  }

  /** The chunk that runs now. Only functions that Lua calls may ask. */
  get current(): Task {
    if (this.#current === undefined) throw new Error('no chunk is running');
    return this.#current;
  }

  /** True while the running code is the chunk's own thread, not a coroutine of the user. */
  get isChunkThread(): boolean {
    return this.#chain.length <= 1;
  }

  /** Starts the function on top of the main thread's stack as a chunk. */
  start(output: Output, format: ResultFormat = 'text'): Task {
    const main = this.#main;
    const thread = lua.lua_newthread(main);
    lua.lua_pop(main, 1);
    lua.lua_sethook(thread, this.#hook, lua.LUA_MASKCOUNT, hookInstructions);
    const task = new Task(output);
    const collect = guarded((L: LuaState): number => {
      task.values = readResults(L, format);
      return 0;
    });
    pushFunction(thread, (L) => {
      lua.lua_callk(L, 0, lua.LUA_MULTRET, 0, collect);
      return collect(L);
    });
    lua.lua_xmove(main, thread, 1);
    task.arguments = 1;
    this.#tasks.set(task, thread);
    // Where nobody waits for a turn it begins at once: that spares an answer a turn of the loop.
    if (this.#isScheduled || this.#current !== undefined) this.#enqueue(this.#fresh, task);
    else this.#runSlice(task);
    return task;
  }

  /** What the running chunk prints. */
  print(bytes: Uint8Array): void {
    this.current.output.out(bytes);
    this.#heedRoom();
  }

  /** What the running chunk prints as an error. */
  printError(bytes: Uint8Array): void {
    this.current.output.err(bytes);
    this.#heedRoom();
  }

  /** Ends the slice with the next instruction where the reader of the output lags behind. */
  #heedRoom(): void {
    if (this.current.output.room?.() === undefined) return;
    this.#isSliceOver = true;
    this.lookSoon();
  }

  /** Has the hook look at the clock with the next instruction: after what took long in a single one. */
  lookSoon(): void {
    for (const each of this.#chain) each.hookcount = 1;
  }

  /** Makes a chunk end. The outcome comes soon, whatever the chunk does. */
  interrupt(task: Task): void {
    this.#makeEnd(task, { kind: 'interrupted' });
  }

  interruptAll(): void {
    for (const task of this.#tasks.keys()) this.interrupt(task);
  }

  #makeEnd(task: Task, outcome: Outcome): void {
    if (task.ending !== undefined || task.isOver) return;
    task.ending = outcome;
    task.abandonWait?.();
  }

  /** Ends the running chunk from inside: os.exit(), BRICKS.shutdown(). */
  end(L: LuaState, outcome: Outcome): number {
    this.current.ending = outcome;
    if (this.#isYieldable()) return this.#kill(L);
    this.current.isRaised = true;
    throw new ChunkEnd('the chunk has ended');
  }

  /**
   * Does not return where the running chunk has to end: called by what catches errors for Lua. It ends there and then:
   * raised again by each of ten thousands of pcall() it would take minutes.
   */
  endWhereTold(L: LuaState): void {
    if (this.current.ending === undefined) return;
    if (this.#isYieldable()) this.#kill(L);
    throw new ChunkEnd('interrupted');
  }

  /**
   * Suspends the running chunk until the promise of `begin` settles; `finish` pushes the results and returns their number.
   * What the promise rejects with is raised. The signal says that nobody waits any more.
   */
  wait<T>(L: LuaState, begin: (signal: AbortSignal) => Promise<T>, finish: (L: LuaState, value: T) => number): number {
    const task = this.current;
    if (!this.#isYieldable()) {
      throw new LuaCallError(`cannot wait inside ${unyieldable}`);
    }
    let result: { readonly value: T } | { readonly error: unknown } | undefined;
    task.wait = async (signal) => {
      try {
        result = { value: await begin(signal) };
      } catch (error) {
        result = { error };
      }
    };
    this.#isSuspending = true;
    const goOn = guarded((resumed) => {
      this.endWhereTold(resumed);
      if (result === undefined) throw new Error('resumed before the wait was over');
      if ('error' in result) throw result.error;
      return finish(resumed, result.value);
    });
    return lua.lua_yieldk(L, 0, 0, goOn);
  }

  /**
   * Pushes the seconds since the process started, wall time: loops on os.clock() that wait for n seconds take n seconds.
   * A chunk that asks over and over is suspended in between, so that such a loop costs next to nothing.
   */
  clock(L: LuaState): number {
    const push = (resumed: LuaState): number => {
      lua.lua_pushnumber(resumed, performance.now() / 1000);
      return 1;
    };
    if (++this.#clockCalls <= clockCallsMax || !this.#isYieldable()) return push(L);
    return this.wait(L, (signal) => sleep(1, signal), push);
  }

  /**
   * Resumes a coroutine of the user, with its arguments on its stack. `finish` gets the status once it has yielded,
   * returned or failed; when the chunk is suspended inside, everything up to the chunk is.
   */
  resume(L: LuaState, coroutine: LuaState, args: number, finish: (L: LuaState, status: number) => number): number {
    this.#chain.push(coroutine);
    let status: number;
    try {
      status = lua.lua_resume(coroutine, L, args);
    } finally {
      this.#chain.pop();
    }
    if (status === lua.LUA_YIELD && this.#isSuspending) {
      return lua.lua_yieldk(L, 0, 0, (resumed) => this.resume(resumed, coroutine, 0, finish));
    }
    return finish(L, status);
  }

  #isYieldable(): boolean {
    return this.#chain.every((L) => lua.lua_isyieldable(L));
  }

  #kill(L: LuaState): number {
    this.current.isKilled = true;
    this.#isSuspending = true;
    lua.lua_yield(L, 0);
    return 0;
  }

  /** What a coroutine inherits from the chunk that makes it: called every so many instructions. */
  readonly #hook = (L: LuaState): void => {
    if (lua.lua_gethookcount(L) !== hookInstructions) {
      lua.lua_sethook(L, this.#hook, lua.LUA_MASKCOUNT, hookInstructions);
    }
    const task = this.#current;
    if (task === undefined) return;
    const overdueMs = performance.now() - this.#sliceEnd;
    const isOver = overdueMs >= 0 || this.#isSliceOver;
    if (isOver || this.#guard.isPressing) this.#endCulprit(this.#guard.look(task, this.#tasks));
    if (!isOver && task.ending === undefined) return;
    const isYieldable = this.#isYieldable();
    if (task.ending !== undefined) {
      if (task.isRaised && isYieldable) {
        this.#kill(L);
        return;
      }
      if (!task.isRaised && task.ending.kind === 'error') task.ending = this.#located(L, task.ending.message);
      task.isRaised = true;
      this.#raise(L, isYieldable, 'the chunk has to end');
    }
    if (isYieldable) {
      this.#isSuspending = true;
      lua.lua_yield(L, 0);
    } else if (overdueMs >= blockingMsMax) {
      this.#raise(L, isYieldable, `${unyieldable} ran for ${blockingSeconds} s; that blocks everything else`);
    }
  };

  /** The error with the place in the running chunk where it meets it. */
  #located(L: LuaState, message: string): Outcome {
    return { kind: 'error', message: position(L) + message, traceback: this.#traceback(L) };
  }

  /** Has the chunk end whose data are too large: as soon as it runs, whatever it catches. */
  #endCulprit(culprit: Culprit | undefined): void {
    if (culprit === undefined) return;
    const { task, message } = culprit;
    this.#makeEnd(task, { kind: 'error', message, traceback: '' });
  }

  /** Raises. Where a callback is left by that, the code that called it is looked at with its next instruction. */
  #raise(L: LuaState, isYieldable: boolean, message: string): never {
    if (!isYieldable) for (const each of this.#chain) lua.lua_sethook(each, this.#hook, lua.LUA_MASKCOUNT, 1);
    // fengari leaves hooks off after an error in one: a handler of xpcall() could then not be stopped.
    L.allowhook = 1;
    pushText(L, position(L) + message);
    return lua.lua_error(L);
  }

  #enqueue(queue: Task[], task: Task): void {
    queue.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#ready.length + this.#fresh.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const task = this.#next();
      if (task !== undefined) this.#runSlice(task);
      this.#schedule();
    });
  }

  #next(): Task | undefined {
    const takesFresh = this.#ready.length === 0 || (this.#fresh.length > 0 && !this.#wasFresh);
    this.#wasFresh = takesFresh;
    return (takesFresh ? this.#fresh : this.#ready).shift();
  }

  #runSlice(task: Task): void {
    const thread = this.#tasks.get(task);
    if (thread === undefined) throw new Error('a chunk that has ended');
    this.#current = task;
    this.#chain = [thread];
    this.#isSuspending = false;
    this.#isSliceOver = false;
    this.#clockCalls = 0;
    this.#sliceEnd = performance.now() + sliceMs;
    let outcome: Outcome | undefined;
    try {
      const status = lua.lua_resume(thread, null, task.arguments);
      if (status !== lua.LUA_YIELD || task.isKilled) outcome = task.ending ?? this.#outcome(task, thread, status);
    } catch (error) {
      // A fault of fengari ends the chunk that met it, not the program with its engines.
      outcome = task.ending ?? { kind: 'error', message: internalErrorText(error), traceback: '' };
    }
    task.arguments = 0;
    this.#endCulprit(this.#guard.lookAfter(task, this.#tasks));
    this.#current = undefined;
    this.#chain = [];
    if (outcome !== undefined) this.#settle(task, outcome);
    else this.#suspend(task);
  }

  #settle(task: Task, outcome: Outcome): void {
    this.#tasks.delete(task);
    task.settle(outcome);
    if (task.ending?.kind !== 'error') return;
    // It had to end for its memory, which is to be free again. Not yet: V8's compiler, which works beside, may still know it.
    setTimeout(() => {
      this.#guard.collect(this.#tasks.keys());
    }, collectionDelayMs).unref();
  }

  #suspend(task: Task): void {
    const room = task.ending === undefined ? task.output.room?.() : undefined;
    if (task.wait !== undefined) this.#beginWait(task, task.wait);
    else if (room !== undefined) this.#beginWait(task, () => room);
    else this.#enqueue(this.#ready, task);
  }

  #beginWait(task: Task, wait: Wait): void {
    const controller = new AbortController();
    task.wait = undefined;
    const resume = (): void => {
      task.abandonWait = undefined;
      this.#enqueue(this.#fresh, task);
    };
    const abandon = (): void => {
      controller.abort();
      resume();
    };
    const finish = (): void => {
      if (task.abandonWait === abandon) resume();
    };
    task.abandonWait = abandon;
    // Output that fails while it is waited for takes no more: that is not the chunk's affair.
    void wait(controller.signal).then(finish, finish);
  }

  #traceback(thread: LuaState): string {
    lauxlib.luaL_traceback(this.#main, thread, null, 0);
    const text = cutText(lua.lua_tolstring(this.#main, -1) ?? new Uint8Array(), tracebackBytesMax);
    lua.lua_pop(this.#main, 1);
    // Where the chunk's own thread ends: the function that start() has put around it.
    return thread === this.#chain[0] ? text.replace(/\n\t\[JS\]: in \?$/, '') : text;
  }

  #outcome(task: Task, thread: LuaState, status: number): Outcome {
    if (status === lua.LUA_OK) return { kind: 'done', values: task.values };
    const main = this.#main;
    const traceback = this.#traceback(thread);
    // A dead thread has no room for more on its stack.
    lua.lua_xmove(thread, main, 1);
    const type = lua.lua_type(main, -1);
    const isText = type === lua.LUA_TSTRING || type === lua.LUA_TNUMBER;
    const text = isText ? (lua.lua_tolstring(main, -1) ?? '') : this.#objectText();
    lua.lua_pop(main, 1);
    return { kind: 'error', message: cutText(text, messageBytesMax), traceback };
  }

  /**
   * What the error object on top of the main thread says of itself. Its __tostring() is code of the user: it runs in a
   * slice of its own, as the end of the chunk.
   */
  #objectText(): string {
    const main = this.#main;
    let text = `error object is a ${typeName(main, -1)} value`;
    if (lauxlib.luaL_getmetafield(main, -1, Buffer.from('__tostring')) === lua.LUA_TNIL) return text;
    lua.lua_pop(main, 1);
    const thread = lua.lua_newthread(main);
    lua.lua_sethook(thread, this.#hook, lua.LUA_MASKCOUNT, hookInstructions);
    pushFunction(thread, (L) => {
      text = displayText(L, 1);
      return 0;
    });
    lua.lua_pushvalue(main, -2);
    lua.lua_xmove(main, thread, 1);
    this.#chain = [thread];
    this.#sliceEnd = performance.now() + sliceMs;
    this.#isSliceOver = false;
    // Where it fails, the text stays.
    lua.lua_resume(thread, null, 1);
    lua.lua_pop(main, 1);
    return text;
  }
}

/** "file:line: " of what a running thread runs; nothing where that is not known. */
function position(thread: LuaState): string {
  const debug = new lua.lua_Debug();
  for (let level = 0; lua.lua_getstack(thread, level, debug) !== 0; level++) {
    lua.lua_getinfo(thread, Buffer.from('Sl'), debug);
    if (debug.currentline > 0) return `${toText(debug.short_src)}:${debug.currentline}: `;
  }
  return '';
}

/** Resolves after `ms` milliseconds, or at once when the signal says so. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  // One timer takes at most 2^31-1 ms: a longer sleep goes on with the next.
  const timerMsMax = 2 ** 31 - 1;
  return new Promise((resolve) => {
    const timer = setTimeout(
      () => {
        if (ms > timerMsMax && !signal.aborted) void sleep(ms - timerMsMax, signal).then(resolve);
        else resolve();
      },
      Math.min(ms, timerMsMax),
    );
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
