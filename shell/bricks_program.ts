// The life of the program `bricks`: script, prompt or waiting, and a clean end. Called by shell/bricks.ts.
import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { companionsEnded } from '../engine/companion.ts';
import { PktEngine } from '../engine/pkt_engine.ts';
import { onReport } from '../engine/reports.ts';
import { makeBricksInterpreter } from '../lua/bricks_interpreter.ts';
import type { Outcome, Output } from '../lua/scheduler.ts';
import { endCommands } from '../lua/shell_process.ts';
import { engineTable } from '../lua/statistics_text.ts';
import { version } from '../package_info.ts';
import { exitStatus } from './command/options.ts';
import { applyEngineOptions, readScript, stopEngines } from './engines.ts';
import { outcomeText } from './prompt/outcome_text.ts';
import { Prompt } from './prompt/prompt.ts';
import { exitAfterHangup, isInteractive, surviveLostStreams } from './prompt/terminal.ts';
import { LocalSession } from './session/local_session.ts';

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
  isProcessOutput: true,
};

/** Stops the engines and shows what they did. False: a capture is not whole. */
function endEngines(): boolean {
  const stream = textStream();
  const { stats, problems, isWhole } = stopEngines();
  for (const problem of problems) process.stderr.write(`bricks: ${problem}\n`);
  if (stats.length > 0) stream.write(engineTable(stats));
  return isWhole;
}

/** True while an engine has something to do: a live source has for ever. */
function isWorking(): boolean {
  return PktEngine.all().some((engine) => engine.state === 'running' || !engine.isDelivered);
}

async function untilDone(signal: AbortSignal): Promise<void> {
  while (isWorking() && !signal.aborted) await delay(pollMs);
}

/** Aborts at the first signal that asks the program to end: SIGINT only while `takesInterrupt` says so. */
function stopSignal(takesInterrupt: () => boolean): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
    process.on(name, () => {
      if (name !== 'SIGINT' || takesInterrupt()) controller.abort(name);
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

/** Runs the program; returns its exit status. Throws UsageError and BricksError. */
export async function runBricks(options: Readonly<Record<string, string | undefined>>): Promise<number> {
  applyEngineOptions(options);
  const isTerminal = isInteractive();
  const readsScript = options.file === undefined && !isTerminal;
  const interpreter = makeBricksInterpreter(isTerminal || readsScript ? {} : { input: process.stdin });
  const session = new LocalSession(interpreter, standardOutput);
  // The prompt takes Ctrl-C for itself.
  let isPrompting = false;
  const signal = stopSignal(() => !isPrompting);
  const stopped = aborted(signal);
  surviveLostStreams();
  onReport(({ engine, kind, text }) => {
    if (kind === 'output') process.stdout.write(`${text}\n`);
    else process.stderr.write(`bricks: engine ${engine}: ${text}\n`);
  });
  if (isTerminal) process.stdout.write(`BRICKS Version ${version}\n`);
  // Whatever a promise that never settles: the program ends when it says so.
  const keptAlive = setInterval(() => {}, 2 ** 30);

  const work = async (): Promise<Outcome> => {
    if (options.file !== undefined || readsScript) {
      const script =
        options.file === undefined ? { name: 'stdin', source: await buffer(process.stdin) } : readScript(options.file);
      const outcome = await session.run(script.source, script.name);
      if (outcome.kind !== 'done') return outcome;
    }
    if (!isTerminal) {
      await untilDone(signal);
      return { kind: 'done', values: [] };
    }
    isPrompting = true;
    return new Prompt(session, 'stops the engines and leaves').run();
  };

  const outcome = await Promise.race([work(), stopped]);
  interpreter.scheduler.interruptAll();
  if (outcome.kind === 'error') process.stderr.write(`bricks: ${outcomeText(outcome)}`);
  const isWhole = endEngines();
  await Promise.all([endCommands(), companionsEnded()]);
  clearInterval(keptAlive);
  const status = outcome.kind === 'error' || !isWhole ? exitStatus.failure : exitStatus.success;
  if (signal.reason === 'SIGHUP') exitAfterHangup(status);
  return outcome.kind === 'exit' && outcome.status !== 0 ? outcome.status : status;
}
