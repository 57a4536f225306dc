// An engine between two hosts: what their kernels leave to hardware, checksums above all, must not break connections.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { probeDrivers } from '../../index.ts';
import { startEngines } from '../support/engine_process.ts';
import { makeFolder } from '../support/files.ts';
import { watchLeaks } from '../support/leaks.ts';
import { connect, makeNamespace, skipLive } from '../support/netns.ts';
import { start } from '../support/programs.ts';

const bytes = 200_000;

const serverSource = `import { createServer } from 'node:net';
createServer((socket) => { let got = 0; socket.on('data', (d) => { got += d.length; if (got >= ${bytes}) socket.end('got ' + got); }); })
  .listen(7000, '10.9.0.2', () => console.log('listening'));`;
const clientSource = `import { connect } from 'node:net';
const socket = connect(7000, '10.9.0.2', () => socket.write(Buffer.alloc(${bytes}, 'x')));
socket.on('data', (d) => { console.log(String(d)); process.exit(0); });`;

/** Ways through the middle, and what of a host's transmission must not be left to hardware. */
const ways = [
  // Frames longer than the MTU cannot go on a wire; checksums are left to "hardware", as by default.
  { driver: 'packet', off: ['tso', 'gso'] },
  // XDP is not told which frames have no checksum yet.
  { driver: 'xdp', off: ['tso', 'gso', 'tx'] },
] as const;

for (const { driver, off } of ways) {
  const skip = skipLive('ethtool') || (probeDrivers().find(({ name }) => name === driver)?.reason ?? false);
  test(`TCP works through an engine between two hosts: ${driver}`, { skip }, async (t) => {
    const noLeaks = watchLeaks();
    await t.test('bridge', async (t) => {
      const folder = makeFolder(t);
      const middle = makeNamespace(t, 'mid');
      const hosts = ['a', 'b'].map((name) => makeNamespace(t, name));
      hosts.forEach((host, i) => {
        connect(host, 'eth0', middle, `side${i}`);
        host.run('ethtool', '-K', 'eth0', ...off.flatMap((feature) => [feature, 'off']));
        host.run('sh', '-c', `ip addr add 10.9.0.${i + 1}/24 dev eth0; ip link set eth0 arp on`);
      });
      const [one, other] = [`${driver}:side0`, `${driver}:side1`];
      const engines = startEngines(t, { namespace: middle, runtimeFolder: folder }, [
        {
          name: 'bridge',
          links: [
            { brick: { type: 'Dummy', inputs: [one], outputs: [other] } },
            { brick: { type: 'Dummy', inputs: [other], outputs: [one] } },
          ],
        },
      ]);
      assert.equal(await engines.started(), undefined);
      const run = (host: number, name: string, source: string) => {
        const file = join(folder, name);
        writeFileSync(file, source);
        const { command, args } = (hosts[host] ?? middle).inside(process.execPath, file);
        return start(t, command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
      };
      const server = run(1, 'server.mjs', serverSource);
      await server.until(/listening/);
      const client = run(0, 'client.mjs', clientSource);
      await client.until(new RegExp(`got ${bytes}`));
      const stats = await engines.stop('bridge');
      assert.equal(stats.dropped, 0);
      await engines.quit();
    });
    await noLeaks();
  });
}
