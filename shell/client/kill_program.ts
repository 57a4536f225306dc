// bricks-kill-server: asks the daemon to end, and waits until it has.
import { setTimeout as delay } from 'node:timers/promises';
import { BricksError } from '../../engine/errors.ts';
import { isAlive, processOf } from '../../lua/process_tree.ts';
import { exitStatus } from '../command/options.ts';
import { ControlClient } from './control_client.ts';

/** How long the daemon may take to stop its engines and flush its captures. */
const endMsMax = 30_000;

const pollMs = 20;

/** Nobody who wants to end a daemon is to be told how to start one. */
function explain(error: unknown): never {
  const isMissing = error instanceof BricksError && error.code === 'DAEMON_MISSING';
  throw isMissing ? BricksError.of('DAEMON_NOT_THERE', error.details) : error;
}

/** Runs the program; the exit status. */
export async function runKillServer(): Promise<number> {
  const client = await ControlClient.connect('bricks-kill-server').catch(explain);
  const { pid } = client;
  const daemon = processOf(pid);
  // One that somebody else has asked as well may go before it answers.
  await client.shutdown().catch((error: unknown) => {
    if (!(error instanceof BricksError) || error.code !== 'DAEMON_GONE') throw error;
  });
  client.close();
  const end = performance.now() + endMsMax;
  while (daemon !== undefined && isAlive(daemon)) {
    if (performance.now() > end) throw BricksError.of('DAEMON_STAYS', { pid, seconds: endMsMax / 1000 });
    await delay(pollMs);
  }
  return exitStatus.success;
}
