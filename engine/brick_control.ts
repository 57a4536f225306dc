// The control object of a brick: what of it can be changed while its engine runs. It is made with the brick.
import * as native from './native.ts';

/** Closes the object of a brick that nobody can reach any more; engines that still have it keep it. */
const abandoned = new FinalizationRegistry<number>((handle) => native.controlClose(handle));

/** A brick's control object in the data plane. It lasts as long as this object, or the longest of its engines. */
export class BrickControl {
  /** As the data plane names it. */
  readonly handle: number;

  /** @param config the brick's options, packed; throws where the data plane cannot work with them */
  constructor(brick: string, config: Uint8Array) {
    this.handle = native.controlOpen(brick, config);
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
