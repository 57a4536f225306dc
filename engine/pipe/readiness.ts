// Waiting for a pipe without holding up the event loop: for its descriptor, for a turn of the loop, for a signal.
//
// Used by pipe.ts and writer.ts, one for each open end, on the thread that opened it.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { clientWatch, type ReadableWatch } from '../native.ts';

/** A consumer that always has data lets timers, signals and other I/O run this often. */
export const turnMs = 2;

/** What one end of a pipe waits with. */
export class Readiness {
  readonly #watch: ReadableWatch;
  #wake: (() => void) | undefined;
  #turnedAt = performance.now();

  constructor(client: number) {
    this.#watch = clientWatch(client, () => {
      this.#watch.stop();
      // Out of the watch's callback, in the same turn of the loop: see clientWatch().
      setImmediate(() => this.wake());
    });
  }

  /** Sleeps until the descriptor is readable, or wake(). */
  async sleep(): Promise<void> {
    this.#watch.start();
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
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
    this.#watch.close();
    this.wake();
  }
}
