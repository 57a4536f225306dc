// What the tests of DPDK's drivers share: whether they can run here, and an echo at the other end of a memif socket.
import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { Testpmd, testpmdMissing } from '../bench/testpmd.ts';
import { skipWithout } from './programs.ts';

/** Why the drivers dpdk and memif cannot be tested here, or false. */
export function skipDpdk(...programs: readonly string[]): string | false {
  const missing = skipWithout('pkg-config', ...programs);
  if (missing !== false) return missing;
  return spawnSync('pkg-config', ['--exists', 'libdpdk']).status === 0 ? false : 'libdpdk-dev is not installed';
}

/** The same, where dpdk-testpmd is the peer. */
export function skipTestpmd(...programs: readonly string[]): string | false {
  return skipDpdk(...programs) || testpmdMissing() || false;
}

let started = 0;

/** A dpdk-testpmd that sends what it receives on its port back; it ends with the test `t`, or by `quit`. */
export async function startEcho(t: TestContext, vdev: string, eal: readonly string[] = []): Promise<Testpmd> {
  const echo = await Testpmd.start(`echo${++started}`, 1, vdev, ['--in-memory', '--single-file-segments', ...eal]);
  t.after(() => echo.quit());
  // What is in its rings before it starts is the test's already.
  await echo.command('set flush_rx off');
  await echo.command('set fwd io retry');
  // A client offers buffers when it first looks into its ring: until then, a second on a busy machine, nothing can be sent back.
  await echo.command('set burst tx delay 100 retry 10000');
  await echo.command('start');
  return echo;
}
