// bricks-server: starts the daemon, detached or in the foreground. Called by shell/bricks_server.ts and `bricks -d`.
import { checkLevel } from '../command/log_level.ts';
import { exitStatus, type ParsedCommand } from '../command/options.ts';
import { type DaemonFiles, daemonFiles, makeRuntimeDirectory } from '../protocol/address.ts';
import type { LogLevel } from '../protocol/messages.ts';
import { Starter, startDetached } from './detach.ts';
import type { LogDestination } from './log.ts';

/** What the daemon is told. */
export interface DaemonOptions {
  readonly files: DaemonFiles;
  readonly script: string | undefined;
  /** "batch", "driver", "dpdk-eal": what the engines of the process are told. */
  readonly engines: Readonly<Record<string, string | undefined>>;
  readonly group: string | undefined;
  readonly metrics: string | undefined;
  readonly log: LogDestination;
  readonly logLevel: LogLevel;
  readonly keepsGoing: boolean;
}

/** Runs the command; the exit status. `name` is what messages call it. */
export async function runServer({ values, switches }: ParsedCommand, name = 'bricks-server'): Promise<number> {
  const files = daemonFiles();
  const starter = new Starter();
  const isForeground = switches.has('foreground');
  const logLevel = checkLevel('log-level', values['log-level'] ?? 'info');
  const logFile = values.log ?? (isForeground ? '-' : files.log);
  makeRuntimeDirectory(files.directory);
  if (!isForeground && !starter.isDetached) {
    // Without a terminal there is no standard error to log to.
    const report = await startDetached(logFile === '-' ? files.log : logFile);
    const text = report.kind === 'ended' ? report.text : report.note;
    if (text !== undefined) process.stderr.write(`${name}: ${text.trimEnd()}\n`);
    return report.kind === 'ended' ? report.status : exitStatus.success;
  }
  const { runDaemon } = await import('./daemon.ts');
  return runDaemon(
    {
      files,
      script: values.file,
      engines: values,
      group: values.group,
      metrics: values.metrics,
      log: logFile === '-' && isForeground ? 'stderr' : { file: logFile === '-' ? files.log : logFile },
      logLevel,
      keepsGoing: switches.has('keep-going'),
    },
    starter,
  );
}
