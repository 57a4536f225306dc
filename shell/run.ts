// The life of the program `bricks`: script, prompt or waiting, and a clean end. Called by shell/bricks.ts.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineStats } from '../engine/counters.ts';
import { setDefaultDriver } from '../engine/drivers.ts';
import { BricksError } from '../engine/errors.ts';
import { PktEngine, setDefaultBatchPackets } from '../engine/pkt_engine.ts';
import { onReport } from '../engine/reports.ts';
import { makeBricksInterpreter } from '../lua/bricks_interpreter.ts';
import type { Outcome, Output } from '../lua/scheduler.ts';
import { engineTable } from '../lua/statistics_text.ts';
import { packageRoot, version } from '../package_info.ts';
import { exitStatus, UsageError } from './options.ts';
import { outcomeText } from './outcome_text.ts';
import { runPrompt } from './prompt.ts';
import { Session } from './session.ts';
import { exitAfterHangup, isInteractive, surviveLostStreams } from './terminal.ts';

/** How often it looks whether the engines are done. */
const pollMs = 100;

/** Where we and scripts print: not where a capture goes. */
function textStream(): NodeJS.WriteStream {
  const writesCapture = PktEngine.all().some((engine) =>
    engine.plan?.outputs.some((port) => port.driver === 'pcap' && port.name === '-'),
  );
  return writesCapture ? process.stderr : process.stdout;
}

const standardOutput: Output = {
  out: (bytes) => {
    textStream().write(bytes);
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

/** Counters that say that a capture was not read or written whole. */
const failures = ['corrupt', 'write_error'];

function hasFailed({ ports }: EngineStats): boolean {
  return ports.some(({ drops, others }) => failures.some((name) => (drops[name] ?? others[name] ?? 0) > 0));
}

/** Stops every engine, whatever becomes of one of them, and shows what they did. False: a capture is not whole. */
function stopEngines(): boolean {
  const engines = PktEngine.all();
  for (const engine of engines) {
    try {
      if (engine.isRunning) engine.stop();
    } catch (error) {
      process.stderr.write(`bricks: ${error instanceof Error ? error.message : error}\n`);
    }
  }
  const stats = engines.map((engine) => engine.stats());
  if (engines.length > 0) textStream().write(engineTable(stats));
  return !stats.some(hasFailed);
}

/** A script from the working directory, else one that comes with the package, as dofile() finds it. */
function readScript(file: string): Uint8Array | Outcome {
  try {
    return readFileSync(existsSync(file) ? file : resolve(packageRoot, file));
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

/** Aborts at the first signal that asks the program to end. The prompt takes SIGINT for itself. */
function stopSignal(session: Session): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
    process.on(name, () => {
      if (name !== 'SIGINT' || !session.isAtPrompt) controller.abort(name);
    });
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
  const isTerminal = isInteractive();
  const readsScript = options.file === undefined && !isTerminal;
  const interpreter = makeBricksInterpreter(isTerminal || readsScript ? undefined : process.stdin);
  const session = new Session(interpreter, standardOutput);
  const signal = stopSignal(session);
  const stopped = aborted(signal);
  surviveLostStreams();
  onReport(({ engine, text }) => {
    process.stderr.write(`bricks: engine ${engine}: ${text}\n`);
  });
  if (isTerminal) process.stdout.write(`BRICKS Version ${version}\n`);
  // Whatever a promise that never settles: the program ends when it says so.
  const keptAlive = setInterval(() => {}, 2 ** 30);

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
  const isWhole = stopEngines();
  clearInterval(keptAlive);
  const status = outcome.kind === 'error' || !isWhole ? exitStatus.failure : exitStatus.success;
  if (signal.reason === 'SIGHUP') exitAfterHangup(status);
  return outcome.kind === 'exit' && outcome.status !== 0 ? outcome.status : status;
}
