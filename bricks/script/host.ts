// What carries packets to a script and back: reads a pipe, hands each batch to the script, sends it on with the verdicts.
//
// Runs in a process of its own beside the engine (shell/bricks_script.ts). Packets that are not changed go from the one
// ring straight into the other. While the engine takes none, the script waits; what then does not fit into its first
// pipe is the engine's to drop, or to hold back.
import { BricksError } from '../../engine/errors.ts';
import { openPipe, type Pipe } from '../../engine/pipe/pipe.ts';
import { openPipeWriter, type PipeWriter } from '../../engine/pipe/writer.ts';
import { ScriptBatch } from './script_batch.ts';

/** What a script is, in whatever language: what has to be awaited is awaited, before packets go on. */
export interface ScriptFunctions {
  process(batch: ScriptBatch): unknown;
  /** Called once, when there will be no more packets. */
  finish?(): unknown;
}

/** Where a script's packets come from and go to. */
export interface ScriptPipes {
  readonly from: string;
  /** Undefined: the script only looks at them. */
  readonly to: string | undefined;
  /** How many outputs there are for its verdicts. */
  readonly outputs: number;
  /** Wait until an engine serves the pipes. */
  readonly wait: boolean;
}

async function send(writer: PipeWriter, batch: ScriptBatch): Promise<void> {
  batch.settle();
  await writer.send(batch);
}

/** Ends what waits for packets or for room when a signal comes, but not while a script has a batch: that stays whole. */
class Waits {
  readonly #controller = new AbortController();
  readonly #end: AbortSignal;
  #isHeld = false;

  constructor(end: AbortSignal) {
    this.#end = end;
    end.addEventListener('abort', () => {
      if (!this.#isHeld) this.resume();
    });
    if (end.aborted) this.resume();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  hold(): void {
    this.#isHeld = true;
  }

  resume(): void {
    this.#isHeld = false;
    if (this.#end.aborted) this.#controller.abort(this.#end.reason);
  }
}

interface Carrier {
  readonly pipe: Pipe;
  readonly writer: PipeWriter | undefined;
  readonly outputs: number;
  readonly waits: Waits;
}

async function carry(script: ScriptFunctions, { pipe, writer, outputs, waits }: Carrier): Promise<void> {
  let view: ScriptBatch | undefined;
  for await (const batch of pipe) {
    if (view === undefined) {
      view = new ScriptBatch(batch, outputs);
      if (pipe.linkType !== undefined) writer?.setLinkType(pipe.linkType);
    }
    view.begin();
    waits.hold();
    const pending = script.process(view);
    if (pending instanceof Promise) await pending;
    // What there is room for is sent before it waits.
    const sending = writer === undefined ? undefined : send(writer, view);
    waits.resume();
    if (sending !== undefined) await sending;
  }
}

/** Runs a script until its packets end, or the signal comes; then finish(). Rejects with what the script throws. */
export async function runScript(script: ScriptFunctions, pipes: ScriptPipes, signal: AbortSignal): Promise<void> {
  const { from, to, outputs, wait } = pipes;
  const waits = new Waits(signal);
  const options = { wait, signal: waits.signal };
  let pipe: Pipe | undefined;
  let writer: PipeWriter | undefined;
  try {
    pipe = await openPipe(from, options);
    if (to !== undefined) writer = await openPipeWriter(to, options);
    await carry(script, { pipe, writer, outputs, waits });
  } catch (error) {
    // An engine that stops ends both pipes, and may end this one first.
    const isEnd = error instanceof BricksError && error.code === 'PIPE_ENDED';
    if (!isEnd && !(signal.aborted && error === signal.reason)) throw error;
  } finally {
    pipe?.close();
    writer?.close();
  }
  await script.finish?.();
}
