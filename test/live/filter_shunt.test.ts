// Shunting: of two TCP transfers that a reader sees, bricks-filter has one dropped. From then on the reader sees the other
// one only, the transfers themselves go on, and the counters add up. And what the plugin for Zeek runs works.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ListedRule } from '../../bricks/filter/rule_text.ts';
import type { EngineStats } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import type { Packet } from '../support/capture.ts';
import { Runtime } from '../support/daemon.ts';
import { engineInterface, type LiveBed, makeLiveBed, readersOf, sendInterface } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { type Program, projectFolder, start, until } from '../support/programs.ts';
import { startReader } from '../support/readers.ts';

const skip = skipLive('iperf3', 'tcpdump');
const [clientAddress, serverAddress] = ['10.9.0.1', '10.9.0.2'];

/** A transfer for as long as the test lasts, at a pace that everybody can follow. */
async function startTransfer(t: TestContext, bed: LiveBed, clientPort: number, serverPort: number): Promise<Program> {
  const server = bed.receiver.inside('iperf3', '-4', '-s', '-1', '-p', String(serverPort), '--forceflush');
  const listening = start(t, server.command, server.args);
  await listening.until(/listening/i);
  const options = ['-p', String(serverPort), '--cport', String(clientPort), '-b', '8M', '-t', '600', '--forceflush'];
  const client = bed.sender.inside('iperf3', '-c', serverAddress, ...options);
  return start(t, client.command, client.args);
}

/** What TCP the packet belongs to: the client's port, whichever way it goes; Ethernet and IPv4 without options. */
function clientPortOf({ data }: Packet, serverPort: number): number | undefined {
  if (data.readUInt16BE(12) !== 0x0800 || data[23] !== 6) return undefined;
  const [source, destination] = [data.readUInt16BE(34), data.readUInt16BE(36)];
  if (source === serverPort) return destination;
  return destination === serverPort ? source : undefined;
}

test('a transfer that is shunted is not seen any more, the one beside it is', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  for (const [namespace, name, address] of [
    [bed.sender, sendInterface, clientAddress],
    [bed.receiver, engineInterface, serverAddress],
  ] as const) {
    // The bed is quiet by itself: no ARP.
    namespace.run('ip', 'link', 'set', name, 'arp', 'on');
    namespace.run('ip', 'address', 'add', `${address}/24`, 'dev', name);
  }
  const runtime = new Runtime(t, bed.receiver);
  runtime.startDaemon([
    '-f',
    runtime.script(`
      pe = PktEngine.new("e0", 4096)
      f = Brick.new("Filter"):connect_input("packet:${engineInterface}?outgoing=1"):connect_output("mon{0")
      pe:link(f) pe:start()`),
  ]);
  const filter = (...args: string[]): string => {
    const { status, stdout, stderr } = runtime.run('bricks_filter', args);
    assert.deepEqual([status, stderr], [0, '']);
    return stdout;
  };
  const rules = (): ListedRule[] =>
    filter('--json', 'list')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ListedRule);
  const packetsOf = (id: number): number =>
    rules().find((rule) => rule.id === id)?.packets ?? assert.fail(`rule ${id}`);
  const stats = (): EngineStats => {
    const { stdout } = runtime.run('bricks_shell', ['--json', '-e', 'pe:stats()']);
    const camel = stdout.replaceAll(/"([a-z]+_[a-z_]+)":/g, (whole, key: string) =>
      /^(rx|tx|in)_|^output_others$/.test(key)
        ? `"${key.replaceAll(/_([a-z])/g, (_, c: string) => c.toUpperCase())}":`
        : whole,
    );
    return JSON.parse(camel) as EngineStats;
  };
  const reader = startReader(t, 'mon}0', join(bed.folder, 'seen.pcap'), runtime.folder);
  await until('the reader', () => readersOf(stats()) === 1);

  const transfers = [
    { clientPort: 40001, serverPort: 5201 },
    { clientPort: 40002, serverPort: 5202 },
  ] as const;
  const match = ({ clientPort, serverPort }: (typeof transfers)[number]): string[] => [
    'type=connection',
    `src=${clientAddress}`,
    `dst=${serverAddress}`,
    'proto=tcp',
    `sport=${clientPort}`,
    `dport=${serverPort}`,
  ];
  const clients = [await startTransfer(t, bed, 40001, 5201), await startTransfer(t, bed, 40002, 5202)];
  // These decide nothing that is not so already: they count.
  const [shuntedId = 0, seenId = 0] = transfers.map((one) =>
    Number(filter('add', ...match(one), 'action=pass', 'priority=-1')),
  );
  await until('both transfers', () => packetsOf(shuntedId) > 50 && packetsOf(seenId) > 50);

  const dropId = Number(filter('-e', 'e0', 'add', ...match(transfers[0]), 'action=drop', 'duration_s=3600'));
  const shuntedNs = BigInt(Date.now()) * 1_000_000n;
  const seenBefore = packetsOf(seenId);
  await until('packets behind the shunt', () => packetsOf(dropId) > 50 && packetsOf(seenId) > seenBefore + 50);
  for (const client of clients) assert.equal(client.child.exitCode, null, client.output());
  assert.equal(runtime.run('bricks_shell', ['-e', 'pe:stop()']).status, 0);

  const last = stats();
  assertAccounting(last);
  assert.equal(last.drops.rule_drop, packetsOf(dropId));
  assert.equal(last.lost, 0);
  const seen = await reader.packets();
  assert.equal(seen.length, last.txPackets);
  const count = (one: (typeof transfers)[number], isAfter: boolean): number =>
    seen.filter(
      (packet) => packet.timestampNs > shuntedNs === isAfter && clientPortOf(packet, one.serverPort) === one.clientPort,
    ).length;
  assert.equal(count(transfers[0], true), 0, 'nothing of the one that is shunted');
  assert.ok(count(transfers[1], true) > 50, 'the other one goes on');
  assert.ok(count(transfers[0], false) >= packetsOf(shuntedId), 'it was seen before');
  assert.equal(
    count(transfers[1], false) + count(transfers[1], true) >= packetsOf(seenId),
    true,
    'nothing of it is missing',
  );
});

test("the command lines of the plugin for Zeek's NetControl are taken", (t) => {
  const text = readFileSync(join(projectFolder, 'bricks/filter/bricks_netcontrol.zeek'), 'utf8');
  const formats = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, format = '']) => format);
  const fill = (format: string, ...values: string[]): string =>
    format.replaceAll(/%[sdf]/g, () => values.shift() ?? assert.fail(format));
  const [add = '', remove = ''] = formats(/fmt\("bricks-filter ([^"]*)"/g);
  const [connection = '', ip = '', mac = ''] = formats(/return fmt\("(type=[^"]*)"/g);
  const [src = '', dst = '', sport = ''] = formats(/text \+= fmt\("( (?:src|dst|proto)[^"]*)"/g);
  const [duration = ''] = formats(/cmd \+= fmt\("( duration_s=[^"]*)"/g);
  const matches = [
    fill(connection, '10.0.0.1', '2.2.2.2', 'tcp', '40000', '443'),
    fill(connection, '2001:db8::1', '2001:db8::2', 'udp', '40000', '53'),
    fill(ip, '10.0.0.0/8'),
    fill(mac, '02:00:00:00:00:01'),
    `type=flow${fill(src, '10.0.0.1/32')}${fill(dst, '2.2.2.0/24')}${fill(sport, 'tcp', '40000')}`,
  ];
  const runtime = new Runtime(t);
  runtime.startDaemon([
    '-f',
    runtime.script(
      'pe = PktEngine.new("e0") pe:link(Brick.new("Filter"):connect_input("null:?packets=1"):connect_output("null:"))',
    ),
  ]);
  for (const match of matches) {
    const line = `${fill(add, 'e0', match, 'drop', '0')}${fill(duration, '600.000000')}`;
    const { status, stdout, stderr } = runtime.run('bricks_filter', line.split(' '));
    assert.equal(status, 0, `${line}: ${stderr}`);
    assert.equal(runtime.run('bricks_filter', fill(remove, 'e0', stdout.trim()).split(' ')).status, 0);
  }
});
