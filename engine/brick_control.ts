// The control object of a brick: what of it can be changed while its engine runs. It is made with the brick.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { BricksError } from './errors.ts';
import * as native from './native.ts';

/** The objects that the data plane holds for bricks, by handle; some of these bricks nobody may be able to reach any more. */
const open = new Map<number, WeakRef<BrickControl>>();

function close(handle: number): void {
  if (open.delete(handle)) native.controlClose(handle);
}

/** Closes the object of a brick that nobody can reach any more; engines that still have it keep it. */
const abandoned = new FinalizationRegistry<number>(close);

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  try {
    runInNewContext('gc')();
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}

/**
 * Closes the objects of abandoned bricks now. A small heap may go uncollected for hours while it holds all objects of the data
 * plane, and what the registry is told reaches it in a later turn. Bricks made in this very turn are kept by JavaScript.
 */
function closeAbandoned(): void {
  collectGarbage();
  for (const [handle, control] of open) if (control.deref() === undefined) close(handle);
}

function openControl(brick: string, config: Uint8Array): number {
  try {
    return native.controlOpen(brick, config);
  } catch (error) {
    if (!(error instanceof BricksError && error.code === 'EMFILE')) throw error;
    closeAbandoned();
    return native.controlOpen(brick, config);
  }
}

/** A brick's control object in the data plane. It lasts as long as this object, or the longest of its engines. */
export class BrickControl {
  /** As the data plane names it. */
  readonly handle: number;

  /** @param config the brick's options, packed; throws where the data plane cannot work with them */
  constructor(brick: string, config: Uint8Array) {
    this.handle = openControl(brick, config);
    open.set(this.handle, new WeakRef(this));
    abandoned.register(this, this.handle);
  }

  /**
   * Has it carry out a request, whose layout the brick's C and TypeScript sides share. `replyBytes`: the most that it
   * may answer. Returns the answer. Throws what the data plane has against it.
   */
  command(request: Uint8Array, replyBytes = 0): Buffer {
    return native.controlCommand(this.handle, request, replyBytes);
  }
}
