// The life of the daemon: takes its runtime directory, opens its control socket, runs the start-up script, stays until it
// is asked to end, and ends in order. Called by start.ts.

import { closeSync, rmSync } from 'node:fs';
import { companionsEnded } from '../../engine/companion.ts';
import { errorText } from '../../engine/errors.ts';
import { daemonLock } from '../../engine/native.ts';
import { onReport } from '../../engine/reports.ts';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import type { Interpreter } from '../../lua/interpreter.ts';
import type { Outcome } from '../../lua/scheduler.ts';
import { endCommands } from '../../lua/shell_process.ts';
import { engineTable } from '../../lua/statistics_text.ts';
import { version } from '../../package_info.ts';
import { exitStatus, UsageError } from '../command/options.ts';
import { deferred } from '../deferred.ts';
import { applyEngineOptions, readScript, stopEngines } from '../engines.ts';
import { outcomeText } from '../prompt/outcome_text.ts';
import { surviveLostStreams } from '../prompt/terminal.ts';
import { type LogLevel, logLevels, type Snapshot } from '../protocol/messages.ts';
import { LocalSession } from '../session/local_session.ts';
import { ControlServer } from './control_server.ts';
import type { Starter, StartReport } from './detach.ts';
import { Log } from './log.ts';
import { LogOutput } from './log_output.ts';
import type { Metrics } from './metrics.ts';
import { plainNames } from './plain_names.ts';
import { ServiceManager } from './service_manager.ts';
import { takeSnapshot } from './snapshot.ts';
import type { DaemonOptions } from './start.ts';
import { StatusFile } from './status_file.ts';

/** How long the starting command waits for the script: one that stays (a loop that watches) is not waited for. */
const scriptMsMax = 10_000;

/** Settles when the daemon is to end. */
class Ending {
  status: number = exitStatus.success;
  /** For the starting command; undefined until it has begun. */
  why: string | undefined;
  readonly #begun = deferred();

  get promise(): Promise<void> {
    return this.#begun.promise;
  }

  begin(log: Log, level: LogLevel, why: string, status: number = exitStatus.success): void {
    if (this.why !== undefined) return;
    this.status = status;
    this.why = why;
    log.write(level, `ends: ${why}`);
    this.#begun.resolve();
  }
}

class Daemon {
  readonly #options: DaemonOptions;
  readonly #starter: Starter;
  readonly #log: Log;
  readonly #serviceManager: ServiceManager;
  readonly #ending = new Ending();
  readonly #interpreter: Interpreter;
  readonly #control: ControlServer;
  #isReady = false;
  #status: StatusFile | undefined;
  #metrics: Metrics | undefined;

  constructor(options: DaemonOptions, starter: Starter, log: Log) {
    this.#options = options;
    this.#starter = starter;
    this.#log = log;
    this.#serviceManager = new ServiceManager(log);
    this.#interpreter = makeBricksInterpreter({
      program: {
        logLevels,
        getLogLevel: () => log.level,
        setLogLevel: (level) => {
          log.level = level as LogLevel;
        },
        log: (level, text) => log.write(level as LogLevel, text),
      },
    });
    this.#control = new ControlServer({
      interpreter: this.#interpreter,
      log,
      snapshot: () => this.#snapshot(),
      shutdown: (by) => this.#ending.begin(log, 'info', `${by} asked for it`),
    });
  }

  async run(): Promise<number> {
    this.#handleSignals();
    onReport(({ engine, kind, text }) =>
      this.#log.write(kind === 'output' ? 'info' : 'warn', `engine ${engine}: ${text}`, { engine }),
    );
    const { files, group, metrics, script } = this.#options;
    await this.#control.listen(files.socket, group);
    if (metrics !== undefined) {
      const { startMetrics } = await import('./metrics.ts');
      this.#metrics = await startMetrics(metrics, () => this.#snapshot());
    }
    this.#status = new StatusFile(files.status, () => this.#snapshot(), this.#log);
    this.#log.write('info', `version ${version} listens at ${files.socket}`);
    if (this.#metrics !== undefined) this.#log.write('info', `serves counters at ${this.#metrics.url}`);
    if (script === undefined) this.#ready();
    else await this.#runScript(script);
    await this.#ending.promise;
    // Where the start was not over: whoever waits for it hears why it never will be.
    this.#starter.report({
      kind: 'ended',
      status: exitStatus.failure,
      text: `the daemon has ended: ${this.#ending.why}`,
    });
    return this.#ending.status;
  }

  /** Undoes what run() did, as far as that came: engines first, which may have packets left to write. */
  async end(): Promise<void> {
    await this.#attempt(() => this.#serviceManager.notify('STOPPING=1'));
    await this.#attempt(() => this.#interpreter.scheduler.interruptAll());
    await this.#attempt(() => this.#endEngines());
    await this.#attempt(endCommands);
    await this.#attempt(companionsEnded);
    await this.#attempt(() => this.#status?.close());
    await this.#attempt(() => this.#metrics?.close());
    await this.#attempt(() => this.#control.close('the daemon ends'));
  }

  /** One step of the end: what goes wrong with it keeps nothing else from ending. */
  async #attempt(step: () => void | Promise<void> | undefined): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#log.write('error', `at the end: ${errorText(error)}`);
    }
  }

  #endEngines(): void {
    const { stats, problems, isWhole } = stopEngines();
    for (const problem of problems) this.#log.write('error', problem);
    if (!isWhole) this.#log.write('error', 'a capture was not read or written whole: see corrupt, write_error');
    if (stats.length === 0) return;
    this.#log.write('info', `final statistics\n${engineTable(stats)}`, { engines: plainNames(stats) });
  }

  #snapshot(): Snapshot {
    return takeSnapshot(this.#control.clients);
  }

  #handleSignals(): void {
    for (const name of ['SIGTERM', 'SIGINT'] as const) {
      process.on(name, () => this.#ending.begin(this.#log, 'info', name));
    }
    process.on('SIGHUP', () => this.#log.reopen());
    // A fault of ours must not leave captures unflushed.
    for (const name of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(name, (error: unknown) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        // In the middle of the end nothing is left to be put in order.
        if (this.#ending.why !== undefined) process.exit(exitStatus.failure);
        this.#ending.begin(this.#log, 'fatal', `internal error: ${text}`, exitStatus.failure);
      });
    }
  }

  #ready(note?: string): void {
    this.#isReady = true;
    this.#status?.write();
    this.#serviceManager.notify(`READY=1\nSTATUS=control socket ${this.#options.files.socket}`);
    this.#starter.report({ kind: 'ready', pid: process.pid, ...(note !== undefined && { note }) });
  }

  /** Runs the start-up script; returns when it has ended, or takes so long that the starting command is to go on. */
  async #runScript(script: string): Promise<void> {
    const output = new LogOutput(this.#log, (stream, line) => this.#starter.print(stream, line));
    const session = new LocalSession(this.#interpreter, output);
    const { name, source } = readScript(script);
    const running = session.run(source, name).then((outcome) => {
      output.flush();
      this.#scriptEnded(script, outcome);
    });
    const late = deferred();
    const timer = setTimeout(() => {
      this.#ready(`${script} still runs after ${scriptMsMax / 1000} s; the daemon stays, the log says how it ends`);
      late.resolve();
    }, scriptMsMax);
    await Promise.race([running, late.promise, this.#ending.promise]);
    clearTimeout(timer);
  }

  #scriptEnded(script: string, outcome: Outcome): void {
    const status = outcome.kind === 'exit' ? outcome.status : exitStatus.failure;
    if (outcome.kind === 'shutdown') {
      this.#starter.report({ kind: 'ended', status: exitStatus.success, text: `${script} has ended the daemon` });
      this.#ending.begin(this.#log, 'info', `${script} called BRICKS.shutdown()`);
    } else if (outcome.kind === 'done' || (outcome.kind === 'exit' && status === 0)) {
      this.#ready();
    } else if (outcome.kind !== 'interrupted') {
      const text = outcome.kind === 'error' ? outcomeText(outcome).trimEnd() : `${script} called os.exit(${status})`;
      this.#log.write('error', `the startup script failed: ${text}`);
      // Once the start was said to be over, users rely on the daemon.
      if (this.#isReady) return;
      if (this.#options.keepsGoing) {
        this.#ready(`the startup script failed, the daemon stays: ${text}`);
        return;
      }
      this.#starter.report({ kind: 'ended', status, text: `the startup script failed: ${text}` });
      this.#ending.begin(this.#log, 'error', 'the startup script failed', status);
    }
  }
}

/** What the starting command, or the user of a foreground daemon, is told of a start that failed. */
function failed(error: unknown): Extract<StartReport, { kind: 'ended' }> {
  if (error instanceof UsageError) {
    return { kind: 'ended', status: exitStatus.usage, text: `${error.message}; try bricks-server --help` };
  }
  return { kind: 'ended', status: exitStatus.failure, text: errorText(error) };
}

/** The file goes first: nobody may lock one that is about to be removed. */
function releaseLock(lock: number, file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // It stays, without a lock: no obstacle for the next daemon.
  }
  closeSync(lock);
}

/** Runs the daemon to its end; the exit status. Throws what keeps it from starting. */
export async function runDaemon(options: DaemonOptions, starter: Starter): Promise<number> {
  let lock: number | undefined;
  let daemon: Daemon | undefined;
  surviveLostStreams();
  try {
    applyEngineOptions(options.engines);
    // First of all: what follows replaces files that a running daemon uses.
    lock = daemonLock(options.files.pid);
    daemon = new Daemon(options, starter, new Log(options.log, options.logLevel));
    return await daemon.run();
  } catch (error) {
    const report = failed(error);
    starter.report(report);
    // A detached daemon has been heard; another's log is no place for it.
    if (starter.isDetached) return report.status;
    throw error;
  } finally {
    await daemon?.end();
    if (lock !== undefined) releaseLock(lock, options.files.pid);
  }
}
