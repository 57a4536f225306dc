// Waiting for a pipe without holding up the event loop: for its descriptor, for a turn of the loop, for a signal.
//
// Used by pipe.ts and writer.ts, one for each open end, on the thread that opened it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { clientOwn, clientWatch, type ReadableWatch } from '../native.ts';

/** A consumer that always has data lets timers, signals and other I/O run this often. */
export const turnMs = 2;

/**
 * How long a worker naps between two looks at its pipe. It cannot wait for the descriptor: koffi's watch of one does not
 * survive that the worker is terminated (see native.ts). A look costs some microseconds.
 */
const napMs = 5;

/** What one end of a pipe waits with. */
export class Readiness {
  readonly #watch: ReadableWatch | undefined;
  #wake: (() => void) | undefined;
  #turnedAt = performance.now();

  constructor(client: number) {
    clientOwn(client);
    if (!isMainThread) return;
    const watch = clientWatch(client, () => {
      watch.stop();
      // Out of the watch's callback, in the same turn of the loop: see clientWatch().
      setImmediate(() => this.wake());
    });
    this.#watch = watch;
  }

  /** Sleeps until the descriptor is readable, or wake(); may end early. */
  async sleep(): Promise<void> {
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    if (this.#watch === undefined) setTimeout(() => this.wake(), napMs);
    else this.#watch.start();
    await woken;
    this.#turnedAt = performance.now();
  }

  /** Ends a sleep. */
  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Whether the event loop has had no turn from here for {@link turnMs}. */
  get isTurnDue(): boolean {
    return performance.now() - this.#turnedAt >= turnMs;
  }

  /** Lets the event loop run. */
  async turn(): Promise<void> {
    await nextTurn();
    this.#turnedAt = performance.now();
  }

  /** To be called before the client is closed. */
  close(): void {
    this.#watch?.close();
    this.wake();
  }
}
