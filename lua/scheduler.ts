// Runs chunks of Lua so that none of them ever blocks the process.
//
// Every chunk is a coroutine. A count hook yields it when its slice of time is over, and the event loop resumes it: one
// slice a turn, round robin. What has to wait (sleep, a child process, an engine) suspends the chunk until a promise
// settles. The user's own coroutines (lua/coroutines.ts) pass such a suspension up to the chunk they run in.
//
// A chunk that has to end is made to raise first; one that swallows that is suspended and never resumed.
import { displayText, LuaCallError, pushText, typeName } from './convert.ts';
import { guarded, internalErrorText, pushFunction } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';

/** How long a chunk runs before others get their turn. */
const sliceMs = 5;

/** Instructions between two looks at the clock. */
const hookInstructions = 1000;

/**
 * How long a callback may run that cannot be yielded (of table.sort, string.gsub, load, a metamethod): nothing else can
 * happen meanwhile, not even an interruption.
 */
const callbackMsMax = 1000;

/** Calls of os.clock() in one slice after which the chunk is taken to wait for time to pass. */
const clockCallsMax = 50;

const unyieldable = 'a callback of table.sort, string.gsub, load, xpcall or a metamethod';

/** Where a chunk's output goes. */
export interface Output {
  out(bytes: Uint8Array): void;
  err(bytes: Uint8Array): void;
}

/** A value that a chunk returned. */
export interface ReturnedValue {
  /** As tostring() makes it. */
  readonly text: string;
  /** True for an engine, a brick, a file. */
  readonly isObject: boolean;
}

/** How a chunk ended. An error's message begins with "file:line: "; a status is 0 to 255. */
export type Outcome =
  | { readonly kind: 'done'; readonly values: readonly ReturnedValue[] }
  | { readonly kind: 'error'; readonly message: string; readonly traceback: string }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'shutdown' };

type Wait = (signal: AbortSignal) => Promise<void>;

/** What ends a chunk from inside: passes through pcall() and coroutine.resume(). */
export class ChunkEnd extends Error {}

/** One chunk on its way. */
export class Task {
  readonly thread: LuaState;
  readonly output: Output;
  readonly outcome: Promise<Outcome>;
  readonly settle: (outcome: Outcome) => void;
  /** What the chunk has returned. */
  readonly values: ReturnedValue[] = [];
  /** Set once the chunk has to end, and how. */
  ending: Outcome | undefined;
  /** True once the end was raised in it. */
  isRaised = false;
  /** True once it is never to be resumed. */
  isKilled = false;
  /** What it waits for, set while it suspends. */
  wait: Wait | undefined;
  /** Ends the wait at once, set while it waits. */
  abandonWait: (() => void) | undefined;
  /** Values on its stack for the next resume. */
  arguments = 0;

  constructor(thread: LuaState, output: Output) {
    this.thread = thread;
    this.output = output;
    let settle: (outcome: Outcome) => void = () => {};
    this.outcome = new Promise((resolve) => {
      settle = resolve;
    });
    this.settle = settle;
  }
}

export class Scheduler {
  readonly #main: LuaState;
  readonly #ready: Task[] = [];
  readonly #tasks = new Set<Task>();
  #current: Task | undefined;
  /** The running chunk's thread, and the coroutines it has resumed: the last one runs. */
  #chain: LuaState[] = [];
  #isSuspending = false;
  #isScheduled = false;
  #sliceEnd = 0;
  #clockCalls = 0;

  constructor(main: LuaState) {
    this.#main = main;
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
  start(output: Output): Task {
    const main = this.#main;
    const thread = lua.lua_newthread(main);
    lua.lua_pop(main, 1);
    lua.lua_sethook(thread, this.#hook, lua.LUA_MASKCOUNT, hookInstructions);
    const task = new Task(thread, output);
    const collect = (L: LuaState): number => {
      for (let i = 1; i <= lua.lua_gettop(L); i++) {
        task.values.push({ text: displayText(L, i), isObject: lua.lua_type(L, i) === lua.LUA_TUSERDATA });
      }
      return 0;
    };
    pushFunction(thread, (L) => {
      lua.lua_callk(L, 0, lua.LUA_MULTRET, 0, collect);
      return collect(L);
    });
    lua.lua_xmove(main, thread, 1);
    task.arguments = 1;
    this.#tasks.add(task);
    this.#enqueue(task);
    return task;
  }

  /** Makes a chunk end. The outcome comes soon, whatever the chunk does. */
  interrupt(task: Task): void {
    if (task.ending !== undefined) return;
    task.ending = { kind: 'interrupted' };
    task.abandonWait?.();
  }

  interruptAll(): void {
    for (const task of this.#tasks) this.interrupt(task);
  }

  /** Ends the running chunk from inside: os.exit(), BRICKS.shutdown(). */
  end(L: LuaState, outcome: Outcome): number {
    this.current.ending = outcome;
    if (this.#isYieldable()) return this.#kill(L);
    this.current.isRaised = true;
    throw new ChunkEnd('the chunk has ended');
  }

  /** Throws where the running chunk has to end: called by what catches errors for Lua. */
  rethrowEnd(): void {
    if (this.current.ending !== undefined) throw new ChunkEnd('interrupted');
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
      this.rethrowEnd();
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
    const isYieldable = this.#isYieldable();
    if (task.ending !== undefined) {
      if (task.isRaised && isYieldable) {
        this.#kill(L);
        return;
      }
      task.isRaised = true;
      this.#raise(L, isYieldable, 'interrupted');
    }
    const overdueMs = performance.now() - this.#sliceEnd;
    if (overdueMs < 0) return;
    if (isYieldable) {
      this.#isSuspending = true;
      lua.lua_yield(L, 0);
    } else if (overdueMs >= callbackMsMax) {
      const seconds = callbackMsMax / 1000;
      this.#raise(L, isYieldable, `${unyieldable} ran for ${seconds} s; that blocks everything else`);
    }
  };

  /** Raises. Where a callback is left by that, the code that called it is looked at with its next instruction. */
  #raise(L: LuaState, isYieldable: boolean, message: string): never {
    if (!isYieldable) for (const each of this.#chain) lua.lua_sethook(each, this.#hook, lua.LUA_MASKCOUNT, 1);
    // fengari leaves hooks off after an error in one: a handler of xpcall() could then not be stopped.
    L.allowhook = 1;
    lauxlib.luaL_where(L, 0);
    pushText(L, message);
    lua.lua_concat(L, 2);
    return lua.lua_error(L);
  }

  #enqueue(task: Task): void {
    this.#ready.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#ready.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const task = this.#ready.shift();
      if (task !== undefined) this.#runSlice(task);
      this.#schedule();
    });
  }

  #runSlice(task: Task): void {
    this.#current = task;
    this.#chain = [task.thread];
    this.#isSuspending = false;
    this.#clockCalls = 0;
    this.#sliceEnd = performance.now() + sliceMs;
    let outcome: Outcome | undefined;
    try {
      const status = lua.lua_resume(task.thread, null, task.arguments);
      if (status !== lua.LUA_YIELD || task.isKilled) outcome = task.ending ?? this.#outcome(task, status);
    } catch (error) {
      // A fault of fengari ends the chunk that met it, not the program with its engines.
      outcome = task.ending ?? { kind: 'error', message: internalErrorText(error), traceback: '' };
    }
    task.arguments = 0;
    this.#current = undefined;
    this.#chain = [];
    if (outcome !== undefined) {
      this.#tasks.delete(task);
      task.settle(outcome);
    } else if (task.wait === undefined) {
      this.#enqueue(task);
    } else {
      this.#beginWait(task, task.wait);
    }
  }

  #beginWait(task: Task, wait: Wait): void {
    const controller = new AbortController();
    task.wait = undefined;
    const resume = (): void => {
      task.abandonWait = undefined;
      this.#enqueue(task);
    };
    const abandon = (): void => {
      controller.abort();
      resume();
    };
    task.abandonWait = abandon;
    void wait(controller.signal).then(() => {
      if (task.abandonWait === abandon) resume();
    });
  }

  #outcome(task: Task, status: number): Outcome {
    if (status === lua.LUA_OK) return { kind: 'done', values: task.values };
    const main = this.#main;
    lauxlib.luaL_traceback(main, task.thread, null, 0);
    const traceback = displayText(main, -1);
    // A dead thread has no room for more on its stack.
    lua.lua_xmove(task.thread, main, 1);
    const type = lua.lua_type(main, -1);
    const isText = type === lua.LUA_TSTRING || type === lua.LUA_TNUMBER;
    const message = isText ? displayText(main, -1) : this.#objectText();
    lua.lua_pop(main, 2);
    return { kind: 'error', message, traceback };
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
    // Where it fails, the text stays.
    lua.lua_resume(thread, null, 1);
    lua.lua_pop(main, 1);
    return text;
  }
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
