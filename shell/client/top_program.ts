// bricks-top: the dashboard of the daemon, on the whole screen or once as text.
import { exitStatus, type ParsedCommand, UsageError } from '../command/options.ts';
import { surviveLostStreams } from '../prompt/terminal.ts';
import { statsMsMax, statsMsMin } from '../protocol/messages.ts';
import { isUtf8Locale } from '../top/glyphs.ts';
import { outputColumns, topOnce } from '../top/once.ts';
import { DaemonFeed } from './daemon_feed.ts';

function intervalMs(given: string): number {
  const seconds = Number(given);
  const ms = Math.round(seconds * 1000);
  if (given.trim() === '' || !(ms >= statsMsMin) || ms > statsMsMax) {
    const range = `from ${statsMsMin / 1000} to ${statsMsMax / 1000}`;
    throw new UsageError(`interval: "${given}" must be seconds ${range}`);
  }
  return ms;
}

/** Runs the program; the exit status. */
export async function runTopProgram({ values, switches }: ParsedCommand): Promise<number> {
  const options = {
    intervalMs: intervalMs(values.interval ?? '1'),
    isAscii: switches.has('ascii') || !isUtf8Locale(process.env),
  };
  const feed = await DaemonFeed.open('bricks-top');
  if (!switches.has('once')) {
    const { runTop } = await import('../top/run_top.ts');
    return runTop(feed, options);
  }
  surviveLostStreams();
  process.stdout.write(await topOnce(feed, { ...options, columns: outputColumns() }));
  return exitStatus.success;
}
