// One chunk on its way: what it is given, what it prints to, how it ends. The scheduler runs it; sessions hold it.

/** Where a chunk's output goes. */
export interface Output {
  out(bytes: Uint8Array): void;
  err(bytes: Uint8Array): void;
  /** True where commands that the chunk runs share this process's standard streams; else their output comes here. */
  readonly isProcessOutput?: boolean;
  /** While whoever reads it lags behind: settles when there is room again. The chunk is suspended meanwhile. */
  room?(): Promise<void> | undefined;
}

/** How the values that a chunk returns are turned into text: for people, or each as one JSON text. */
export type ResultFormat = 'text' | 'json';

/** A value that a chunk returned. */
export interface ReturnedValue {
  /** For people: strings as they are, tables with their fields. As JSON: one line. Long texts are cut. */
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

/** Waits for something; the signal says that nobody waits any more. */
export type Wait = (signal: AbortSignal) => Promise<void>;

/** What ends a chunk from inside: passes through pcall() and coroutine.resume(). */
export class ChunkEnd extends Error {}

/** One chunk on its way. */
export class Task {
  readonly output: Output;
  readonly outcome: Promise<Outcome>;
  readonly #settle: (outcome: Outcome) => void;
  /** What the chunk has returned. */
  values: readonly ReturnedValue[] = [];
  /** True once it has ended: nothing it started prints any more. */
  isOver = false;
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
  /** By how much the memory in use has grown in its slices since the last collection: some of that is garbage. */
  grownBytes = 0;
  /** An estimate of what it has added to the data of the scripts, since the memory guard began to watch for that. */
  keptBytes = 0;

  constructor(output: Output) {
    this.output = output;
    let settle: (outcome: Outcome) => void = () => {};
    this.outcome = new Promise((resolve) => {
      settle = resolve;
    });
    this.#settle = settle;
  }

  settle(outcome: Outcome): void {
    this.isOver = true;
    this.#settle(outcome);
  }
}
