// The life of the program `bricks`: script, prompt or waiting, and a clean end. Called by shell/bricks.ts.
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { setDefaultDriver } from '../engine/drivers.ts';
import { BricksError } from '../engine/errors.ts';
import { PktEngine, setDefaultBatchPackets } from '../engine/pkt_engine.ts';
import { onReport } from '../engine/reports.ts';
import { makeBricksInterpreter } from '../lua/bricks_interpreter.ts';
import type { Outcome, Output } from '../lua/scheduler.ts';
import { engineTable } from '../lua/statistics_text.ts';
import { version } from '../package_info.ts';
import { exitStatus, UsageError } from './options.ts';
import { outcomeText } from './outcome_text.ts';
import { runPrompt } from './prompt.ts';
import { Session } from './session.ts';

/** How often it looks whether the engines are done. */
const pollMs = 50;

const standardOutput: Output = {
  out: (bytes) => {
    process.stdout.write(bytes);
  },
  err: (bytes) => {
    process.stderr.write(bytes);
  },
};

/** Applies options that the engine checks; what it says against them is a usage error. */
function applyOptions({ batch, driver }: Readonly<Record<string, string | undefined>>): void {
  if (batch !== undefined && !/^\d+$/.test(batch)) throw new UsageError(`batch: "${batch}" is not a whole number`);
  try {
    if (batch !== undefined) setDefaultBatchPackets(Number(batch));
    if (driver !== undefined) setDefaultDriver(driver);
  } catch (error) {
    if (error instanceof BricksError) throw new UsageError(error.message);
    throw error;
  }
}

/** Stops every engine, whatever becomes of one of them, and shows what they did. */
function stopEngines(): void {
  const engines = PktEngine.all();
  for (const engine of engines) {
    try {
      if (engine.isRunning) engine.stop();
    } catch (error) {
      process.stderr.write(`bricks: ${error instanceof Error ? error.message : error}\n`);
    }
  }
  if (engines.length > 0) process.stdout.write(engineTable(engines.map((engine) => engine.stats())));
}

function readScript(file: string): Uint8Array | Outcome {
  try {
    return readFileSync(file);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { kind: 'error', message: `cannot read the script ${file}: ${text}`, traceback: '' };
  }
}

/** True while an engine has something to do: a live source has for ever. */
function isWorking(): boolean {
  return PktEngine.all().some((engine) => engine.state === 'running' || !engine.isDelivered);
}

async function untilDone(signal: AbortSignal): Promise<void> {
  while (isWorking() && !signal.aborted) await delay(pollMs);
}

/** Resolves at the first signal that asks the program to end. */
function stopSignal(isTerminal: boolean): AbortSignal {
  const controller = new AbortController();
  // On a terminal the prompt takes SIGINT for the running chunk.
  for (const name of isTerminal ? (['SIGTERM', 'SIGHUP'] as const) : (['SIGTERM', 'SIGHUP', 'SIGINT'] as const)) {
    process.on(name, () => controller.abort());
  }
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve({ kind: 'exit', status: exitStatus.success });
    });
  });
}

/** Runs the program; returns its exit status. Throws {@link UsageError}. */
export async function runBricks(options: Readonly<Record<string, string | undefined>>): Promise<number> {
  applyOptions(options);
  const isTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const readsScript = options.file === undefined && !isTerminal;
  const interpreter = makeBricksInterpreter(isTerminal || readsScript ? undefined : process.stdin);
  const session = new Session(interpreter, standardOutput);
  const signal = stopSignal(isTerminal);
  const stopped = aborted(signal);
  // A reader of our output that goes away must not end us before the engines are stopped.
  process.stdout.on('error', () => {});
  onReport(({ engine, text }) => {
    process.stderr.write(`bricks: engine ${engine}: ${text}\n`);
  });
  process.stdout.write(`BRICKS Version ${version}\n`);

  const work = async (): Promise<Outcome> => {
    if (options.file !== undefined || readsScript) {
      const source = options.file === undefined ? await buffer(process.stdin) : readScript(options.file);
      const outcome = source instanceof Uint8Array ? await session.run(source, options.file ?? 'stdin') : source;
      if (outcome.kind !== 'done') return outcome;
    }
    if (isTerminal) return runPrompt(session);
    await untilDone(signal);
    return { kind: 'done', values: [] };
  };

  const outcome = await Promise.race([work(), stopped]);
  interpreter.scheduler.interruptAll();
  if (outcome.kind === 'error') process.stderr.write(`bricks: ${outcomeText(outcome)}`);
  stopEngines();
  if (outcome.kind === 'error') return exitStatus.failure;
  return outcome.kind === 'exit' ? outcome.status : exitStatus.success;
}
