// What Prometheus is told: scraped over HTTP, read by another reader of the format, compared with the counters.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { drivers, nativeBricks } from '../../engine/drivers.ts';
import { snapshotOf } from '../../engine/snapshot.ts';
import { Brick, BricksError, type EngineStats, openPipeWriter, PktEngine } from '../../index.ts';
import { metricFamilies } from '../../shell/daemon/metric_families.ts';
import { type Metrics, startMetrics } from '../../shell/daemon/metrics.ts';
import type { Snapshot } from '../../shell/protocol/messages.ts';
import { type Family, labelKey, parseExposition } from '../support/exposition.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { watchLeaks } from '../support/leaks.ts';
import { projectFolder, skipWithout, until } from '../support/programs.ts';

const startedMs = 1_700_000_000_250;

function snapshot(changes: Partial<Snapshot> = {}): Snapshot {
  const engines = PktEngine.all().map(snapshotOf);
  const times = { monotonicMs: 5, timeMs: startedMs + 5, startedMs };
  return { ...times, pid: 1, version: '1.2.3', engines, applications: {}, clients: 3, ...changes };
}

async function serve(t: TestContext, read: () => Snapshot = snapshot, address = '0'): Promise<Metrics> {
  const metrics = await startMetrics(address, read);
  t.after(() => metrics.close());
  return metrics;
}

async function scrape(url: string): Promise<Map<string, Family>> {
  const response = await fetch(url);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4; charset=utf-8$/);
  return parseExposition(text);
}

function engine(t: TestContext, name: string, brick: Brick): PktEngine {
  const made = new PktEngine(name).link(brick);
  t.after(() => {
    if (made.isRunning) made.stop();
    made.delete();
  });
  return made;
}

/**
 * Two engines over captures: a chain with two bricks of a type, two null: ports, pipes, and a capture output. And one
 * whose packets an application wrote, and declined.
 */
async function makeEngines(t: TestContext): Promise<void> {
  process.env.BRICKS_RUNTIME_DIR = makeFolder(t);
  const input = `pcap:${demoCapture}`;
  const first = new Brick('LoadBalancer', 4).connectInput(input).connectOutput('m{0', 'm{1', 'm{2', 'null:', 'null:');
  const second = new Brick('LoadBalancer', 4)
    .connectInput('m}2')
    .connectOutput('m{3', `pcap:${makeFolder(t)}/say "x".pcap`);
  await engine(t, 'chain', first.link(second)).start().wait(30);
  const copy = new Brick('Duplicator').connectInput(input).connectOutput('null:', 'k{0');
  await engine(t, 'quo"te\\d', copy).start().wait(30);
  const inline = engine(t, 'inline', new Brick('Dummy').connectInput('w}0').connectOutput('null:')).start();
  const writer = await openPipeWriter('w}0');
  await writer.send([Buffer.alloc(60), Buffer.alloc(1000)]);
  writer.decline(3);
  writer.close();
  const port = () => inline.stats().ports[0];
  await until('the writer to be gone', () => port()?.rxPackets === 2 && port()?.others.writer_pid === 0);
  assert.equal(port()?.others.declined, 3);
}

/** Every value of a family as its labels say. */
function expectValues(families: Map<string, Family>, name: string, expected: Record<string, number>): void {
  assert.deepEqual(Object.fromEntries(families.get(name)?.values ?? []), expected, name);
}

type Expected = Record<string, Record<string, number>>;

/** What must be served of an engine, from its counters alone. */
function expectEngine(expected: Expected, stats: EngineStats): void {
  const add = (name: string, labels: Record<string, string>, value: number): void => {
    expected[name] = { ...expected[name], [labelKey(labels)]: value };
  };
  const { engine } = stats;
  add('bricks_engine_received_packets_total', { engine }, stats.rxPackets);
  add('bricks_engine_received_bytes_total', { engine }, stats.rxBytes);
  add('bricks_engine_sent_packets_total', { engine }, stats.txPackets);
  add('bricks_engine_sent_bytes_total', { engine }, stats.txBytes);
  add('bricks_engine_copied_packets_total', { engine }, stats.copies);
  add('bricks_engine_lost_packets_total', { engine }, stats.lost);
  add('bricks_engine_in_flight_packets', { engine }, stats.inFlight);
  for (const [reason, count] of Object.entries(stats.drops))
    add('bricks_engine_dropped_packets_total', { engine, reason }, count);
  const seen = new Map<string, number>();
  for (const { port: name, driver, role, ...port } of stats.ports) {
    const place = seen.get(name) ?? 0;
    seen.set(name, place + 1);
    const isRepeated = stats.ports.filter((other) => other.port === name && other.role === role).length > 1;
    const labels = { engine, driver, role, port: isRepeated ? `${name}#${place}` : name };
    const direction = role === 'input' ? 'received' : 'sent';
    add(`bricks_port_${direction}_packets_total`, labels, role === 'input' ? port.rxPackets : port.txPackets);
    add(`bricks_port_${direction}_bytes_total`, labels, role === 'input' ? port.rxBytes : port.txBytes);
    add('bricks_port_in_flight_packets', labels, port.inFlight);
    for (const [reason, count] of Object.entries(port.drops))
      add('bricks_port_dropped_packets_total', { ...labels, reason }, count);
    for (const [reason, count] of Object.entries(port.lost))
      add('bricks_port_lost_packets_total', { ...labels, reason }, count);
    if (driver === 'pipe' || driver === 'inject') {
      add(`bricks_${driver}_ring_bytes`, labels, port.others.ring_bytes ?? Number.NaN);
      add(`bricks_${driver}_used_bytes`, labels, port.others.used_bytes ?? Number.NaN);
      add(`bricks_${driver}_used_bytes_max`, labels, port.others.used_bytes_max ?? Number.NaN);
      add(`bricks_${driver}_attaches_total`, labels, port.others.attaches ?? Number.NaN);
      add('bricks_pipe_applications', labels, 0);
    }
    if (driver === 'inject') {
      add('bricks_inject_declined_packets_total', labels, port.others.declined ?? Number.NaN);
      add('bricks_inject_unreceived_packets_total', labels, port.others.unreceived ?? Number.NaN);
      add('bricks_inject_writer_faults_total', labels, port.others.writer_faults ?? Number.NaN);
    }
    if (driver === 'pipe') {
      add('bricks_pipe_unread_packets_total', labels, port.others.unread ?? Number.NaN);
      add('bricks_pipe_reader_faults_total', labels, port.others.reader_faults ?? Number.NaN);
    }
    if (driver === 'pcap') add('bricks_pcap_corrupt_files_total', labels, port.others.corrupt ?? Number.NaN);
  }
  stats.bricks.forEach(({ brick: name, ...brick }, i) => {
    const labels = { engine, brick: stats.bricks.length > 1 ? `${name}#${i}` : name };
    add('bricks_brick_received_packets_total', labels, brick.rxPackets);
    add('bricks_brick_sent_packets_total', labels, brick.txPackets);
    add('bricks_brick_copied_packets_total', labels, brick.copies);
    brick.outputs.forEach((count, output) => {
      add('bricks_brick_output_packets_total', { ...labels, output: String(output) }, count);
    });
  });
}

test('a scrape gives every counter, exactly', async (t) => {
  await makeEngines(t);
  const { url } = await serve(t);
  const families = await scrape(url);
  const engines = PktEngine.all().map((engine) => engine.stats());
  assert.equal(engines[0]?.rxPackets, 458);
  const expected: Expected = {};
  for (const stats of engines) expectEngine(expected, stats);
  for (const [name, values] of Object.entries(expected)) expectValues(families, name, values);
  expectValues(families, 'bricks_build_info', { 'version="1.2.3"': 1 });
  expectValues(families, 'bricks_start_time_seconds', { '': startedMs / 1000 });
  expectValues(families, 'bricks_clients', { '': 3 });
  expectValues(families, 'bricks_engines', { '': 3 });
  const states = [...(families.get('bricks_engine_state')?.values ?? [])].filter(([, value]) => value === 1);
  assert.deepEqual(
    states.map(([labels]) => labels),
    ['engine="chain",state="finished"', 'engine="quo"te\\d",state="finished"', 'engine="inline",state="running"'],
  );
});

test('no counter is left out, whatever engine, port or brick it is of', async (t) => {
  await makeEngines(t);
  const families = [...(await scrape((await serve(t)).url))];
  /** Values of a thing, told by its labels, wherever they are served. */
  const count = (labels: RegExp): number =>
    families.flatMap(([, { values }]) => [...values.keys()]).filter((key) => labels.test(key)).length;
  for (const { engine: name, ...stats } of PktEngine.all().map((engine) => engine.stats())) {
    const own = 3 + 7 + Object.keys(stats.drops).length + Object.keys(stats.others).length;
    const engineLabel = `engine="${name.replace(/[\\"]/g, '\\$&')}"`;
    assert.equal(count(new RegExp(`^${engineLabel}(,reason="\\w+"|,state="\\w+")?$`)), own, name);
    for (const { drops, lost, others, driver, role, port } of stats.ports.filter(({ driver }) => driver !== 'null')) {
      // Packets, bytes, in flight; whether a pipe has a reader.
      const values =
        3 + [drops, lost, others].flatMap(Object.keys).length + (driver === 'pipe' || driver === 'inject' ? 1 : 0);
      const sign = port.replace(/[\\"}/.]/g, '\\$&');
      assert.equal(count(new RegExp(`,${engineLabel},port="${sign}",.*role="${role}"$`)), values, port);
    }
  }
});

test('counters beyond 32 bits and up to 2^53 keep every digit', async (t) => {
  await makeEngines(t);
  const exact = 2 ** 53 - 1;
  const read = (): Snapshot => {
    const now = snapshot();
    return { ...now, engines: now.engines.map((one) => ({ ...one, stats: { ...one.stats, rxBytes: exact } })) };
  };
  const families = await scrape((await serve(t, read)).url);
  const values = [...(families.get('bricks_engine_received_bytes_total')?.values.values() ?? [])];
  assert.deepEqual(values, [exact, exact, exact]);
});

test('readers are named; a deleted engine is gone at the next scrape', async (t) => {
  await makeEngines(t);
  const { url } = await serve(t, () => snapshot({ applications: { '77': 'tcpdump' } }));
  expectValues(await scrape(url), 'bricks_application_info', { 'pid="77",program="tcpdump"': 1 });
  const extra = new PktEngine('extra').link(new Brick('Dummy').connectInput('null:').connectOutput('null:'));
  extra.start().stop();
  const names = async (): Promise<string[]> =>
    [...(await scrape(url)).values()]
      .flatMap(({ values }) => [...values.keys()])
      .filter((key) => key.includes('engine="extra"'));
  assert.ok((await names()).length > 10);
  extra.delete();
  assert.deepEqual(await names(), []);
});

test('promtool finds nothing to say', { skip: skipWithout('promtool') }, async (t) => {
  await makeEngines(t);
  const text = await (await fetch((await serve(t)).url)).text();
  const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.deepEqual([check.stdout, check.stderr, check.status], ['', '', 0]);
});

/** The status and text of a request. */
function ask(url: string, method: string, path: string): Promise<{ status: number; text: string; allow: string }> {
  return new Promise((resolve, reject) => {
    const asked = request(new URL(path, url), { method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, text, allow: response.headers.allow ?? '' });
      });
    });
    asked.on('error', reject).end();
  });
}

test('only GET and HEAD of /metrics are answered', async (t) => {
  const { url } = await serve(t);
  assert.equal((await ask(url, 'GET', '/metrics?name=x')).status, 200);
  assert.deepEqual(await ask(url, 'HEAD', '/metrics'), { status: 200, text: '', allow: '' });
  const notFound = { status: 404, text: 'not found; metrics are at /metrics\n', allow: '' };
  for (const path of ['/', '/metrics/', '/metricsx', '/../etc/passwd'])
    assert.deepEqual(await ask(url, 'GET', path), notFound);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    assert.deepEqual(await ask(url, method, '/metrics'), {
      status: 405,
      text: 'metrics are read with GET or HEAD\n',
      allow: 'GET, HEAD',
    });
});

test('a snapshot that cannot be taken is status 500, and the next scrape works', async (t) => {
  let fails = true;
  const { url } = await serve(t, () => {
    if (fails) throw new Error('no page');
    return snapshot();
  });
  assert.deepEqual(await ask(url, 'GET', '/metrics'), { status: 500, text: 'no page\n', allow: '' });
  fails = false;
  assert.equal((await ask(url, 'GET', '/metrics')).status, 200);
});

test('addresses: a port alone is on this host only, IPv6 stands in brackets', async (t) => {
  for (const address of ['0', ':0', '127.0.0.1:0', 'localhost:0']) {
    const { url } = await serve(t, snapshot, address);
    assert.match(url, /^http:\/\/(127\.0\.0\.1|\[::1\]):\d+\/metrics$/, address);
    assert.equal((await fetch(url)).status, 200);
  }
  if (existsSync('/proc/net/if_inet6') && readFileSync('/proc/net/if_inet6', 'utf8').includes('0000001 ')) {
    const { url } = await serve(t, snapshot, '[::1]:0');
    assert.match(url, /^http:\/\/\[::1\]:\d+\/metrics$/);
    assert.equal((await fetch(url)).status, 200);
  }
});

test('an address that does not serve is one line that says why', async (t) => {
  const { url } = await serve(t);
  const taken = new URL(url).host;
  const cases: [string, RegExp][] = [
    [taken, /^metrics address "127\.0\.0\.1:\d+": is taken by another program; give --metrics another \[host:\]port/],
    ['192.0.2.1:9464', /^metrics address "192\.0\.2\.1:9464": is no address of this host; give/],
    ...['', 'x', '127.0.0.1', '1:2:3', '::1', '65536', '99999', 'a b:1', '[::1]', '-1', 'http://x:1'].map(
      (address): [string, RegExp] => [
        address,
        /^metrics address ".*": is not \[host:\]port with a port up to 65535; give --metrics another/,
      ],
    ),
  ];
  for (const [address, text] of cases)
    await assert.rejects(
      startMetrics(address, snapshot),
      (error: unknown) => error instanceof BricksError && text.test(error.message) && !error.message.includes('\n'),
      address,
    );
});

test('close() ends connections that are open, and leaves nothing', async () => {
  const noLeaks = watchLeaks();
  const metrics = await startMetrics('0', snapshot);
  const { port } = new URL(metrics.url);
  const idle = request({ port, path: '/metrics', headers: { Connection: 'keep-alive' } });
  const ended = new Promise<void>((done) => {
    idle.on('response', (response) => response.resume()).on('close', done);
  });
  idle.on('error', () => {}).end();
  await ended;
  await metrics.close();
  const again = createServer((socket: Socket) => socket.end());
  await new Promise<void>((listening) => again.listen(Number(port), '127.0.0.1', listening));
  await new Promise((closed) => again.close(closed));
  await noLeaks();
});

test('METRICS.md lists what is served, and every reason', () => {
  const text = readFileSync(join(projectFolder, 'shell/daemon/METRICS.md'), 'utf8');
  const rows = (heading: string): string[] =>
    (new RegExp(`^## ${heading}\\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(text)?.[1] ?? '')
      .split('\n')
      .filter((line) => line.startsWith('| `'));
  const cells = (...values: string[]): string => `| ${values.join(' | ')} |`.replace('|  |', '| |');
  assert.deepEqual(
    rows('Metrics'),
    metricFamilies.map(({ name, type, labels, text }) => cells(`\`${name}\``, type, labels.join(', '), text)),
  );
  const known = new Set(metricFamilies.map(({ name }) => name));
  for (const [name] of text.matchAll(/\bbricks_\w+/g)) assert.ok(known.has(name), `${name} is served`);
  const verbs = { drop: 'dropped', lost: 'lost', total: '', gauge: '' };
  assert.deepEqual(
    rows('Reasons'),
    [...drivers, ...nativeBricks].flatMap(({ name, counters }) =>
      counters
        .filter(({ kind }) => verbs[kind] !== '')
        .map((counter) => cells(`\`${name}\``, verbs[counter.kind], `\`${counter.name}\``, counter.text)),
    ),
  );
});

test('names keep the conventions of Prometheus', () => {
  const names = metricFamilies.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { name, type } of metricFamilies) {
    assert.match(name, /^bricks_[a-z][a-z0-9_]*$/);
    assert.equal(name.endsWith('_total'), type === 'counter', name);
  }
});
