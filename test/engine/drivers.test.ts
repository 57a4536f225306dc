// What the control plane makes of drivers: whether they are available, when their modules are loaded, what their devices
// count. With a library that has drivers of this test beside its own (test/support/drivers).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseExposition } from '../support/exposition.ts';
import { makeNative } from '../support/native_build.ts';
import { nodeArguments, projectFolder } from '../support/programs.ts';

process.env.BRICKS_NATIVE_DIR = join(makeNative('test-drivers'), 'drivers');
const { Brick, drivers, getDefaultDriver, PktEngine, probeDrivers, setDefaultDriver, setDpdkEal } = await import(
  '../../index.ts'
);
const { snapshotOf } = await import('../../engine/snapshot.ts');
const { startMetrics } = await import('../../shell/daemon/metrics.ts');
const { makeBricksInterpreter } = await import('../../lua/bricks_interpreter.ts');
const { runLua } = await import('../support/lua_run.ts');

/** What the drivers of tests answer, by their names. */
const reasons: Readonly<Record<string, RegExp | undefined>> = {
  absent: /^driver "absent" is not in this build; install libabsent-dev \(apt-get install libabsent-dev\)/,
  gauged: undefined,
  needy: /^driver "needy": there is no \/dev\/needy; load its module/,
};

const isLoaded = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes('packet-bricks-gauged.so');

test('drivers are told apart by their tables alone; a module is loaded when it is asked for', () => {
  const names = Object.fromEntries(drivers.map((driver) => [driver.name, driver.names]));
  assert.deepEqual([names.gauged, names.absent, names.needy], ['device', 'interface', 'interface']);
  assert.equal(isLoaded(), false);
  const statuses = probeDrivers();
  assert.equal(isLoaded(), true);
  assert.deepEqual(
    statuses.map(({ name }) => name),
    drivers.map(({ name }) => name),
  );
  for (const [name, reason] of Object.entries(reasons)) {
    const status = statuses.find((candidate) => candidate.name === name);
    assert.equal(status?.available, reason === undefined, name);
    if (reason !== undefined) assert.match(status?.reason ?? '', reason);
  }
  for (const name of ['inject', 'null', 'pcap', 'pipe'])
    assert.equal(statuses.find((status) => status.name === name)?.available, true, name);
});

test('bricks --drivers and BRICKS.show_drivers() print one line for each driver', async () => {
  const bricks = spawnSync('node', [...nodeArguments('shell/bricks.ts'), '--drivers'], {
    cwd: projectFolder,
    encoding: 'utf8',
  });
  assert.deepEqual([bricks.status, bricks.stderr], [0, '']);
  const lines = bricks.stdout.trimEnd().split('\n');
  assert.equal(lines.length, drivers.length);
  assert.equal(await runLua('BRICKS.show_drivers()', makeBricksInterpreter()), bricks.stdout);
  for (const { name, text } of drivers) {
    const [, answer = ''] = new RegExp(`^${name} +(.*)$`, 'm').exec(bricks.stdout) ?? [];
    const reason = reasons[name];
    if (reason === undefined && name in reasons) assert.equal(answer, `available: ${text}`);
    if (reason !== undefined) assert.match(answer.replace(/^not available: /, ''), reason);
  }
});

test('BRICKS.drivers() is a list of tables', async () => {
  const shown = `for _, driver in ipairs(BRICKS.drivers()) do
    if driver.name == "gauged" or driver.name == "needy" then
      print(driver.name, driver.available, driver.text, driver.reason)
    end
  end`;
  const text = await runLua(shown, makeBricksInterpreter());
  assert.match(
    text,
    /^gauged\ttrue\ta device that counts\tnil\nneedy\tfalse\tone that lacks something\tdriver "needy": /,
  );
});

test('the default driver is one of interfaces, also where it is not available', (t) => {
  t.after(() => setDefaultDriver('packet'));
  assert.throws(
    () => setDefaultDriver('gauged'),
    /"gauged" is not one of interfaces by their names; .*absent, .*packet/,
  );
  setDefaultDriver('absent');
  assert.equal(getDefaultDriver(), 'absent');
  const engine = new PktEngine('default');
  t.after(() => engine.delete());
  engine.link(new Brick('Dummy').connectInput('eth0').connectOutput('null:'));
  assert.throws(() => engine.start(), /driver "absent" is not in this build; install libabsent-dev/);
});

test('what a device counts is read anew at each start, and is beside the accounting', async (t) => {
  const engine = new PktEngine('gauged');
  t.after(() => engine.delete());
  engine.link(new Brick('Dummy').connectInput('gauged:any device, {with: braces}').connectOutput('null:'));
  const port = () => engine.stats().ports[0];
  const metrics = await startMetrics('0', () => ({
    ...{ monotonicMs: 5, timeMs: 5, startedMs: 0, pid: 1, version: '1.2.3', applications: {}, clients: 0 },
    engines: [snapshotOf(engine)],
  }));
  t.after(() => metrics.close());
  const served = async (): Promise<Record<string, number>> => {
    const families = parseExposition(await (await fetch(metrics.url)).text());
    const values = [...(families.get('bricks_port_device_total')?.values ?? [])];
    return Object.fromEntries(values.map(([labels, value]) => [/counter="(\w+)"/.exec(labels)?.[1], value]));
  };
  const expected = [
    { rx_good_packets: 100, rx_packets: 101 },
    { tx_errors: 200, rx_good_packets: 201, temperature: 202 },
    { tx_errors: 200, rx_good_packets: 201, temperature: 202 },
  ];
  for (const [i, device] of expected.entries()) {
    engine.start();
    engine.stop();
    assert.equal(port()?.name, 'any device, {with: braces}');
    assert.deepEqual(port()?.device, device);
    assert.deepEqual(port()?.others, { starts: i + 1 });
    assert.deepEqual([port()?.rxPackets, port()?.drops, engine.stats().dropped], [0, {}, 0]);
    assert.deepEqual(await served(), device);
  }
  assert.equal(engine.stats().ports[1]?.device, undefined, 'null: has no device');
});

/** The program with a script, whose build has no module of DPDK. */
function runBricks(args: readonly string[], script: string, env: Readonly<Record<string, string>> = {}) {
  const options = { cwd: projectFolder, encoding: 'utf8', input: script, env: { ...process.env, ...env } } as const;
  return spawnSync('node', [...nodeArguments('shell/bricks.ts'), ...args], options);
}

test('options of DPDK: refused at once where they are given, where this build has no DPDK', async () => {
  assert.throws(() => setDpdkEal('--no-huge'), { code: 'ENOENT', message: /"dpdk"/ });
  const inLua = await runLua('print(pcall(BRICKS.set_dpdk_eal, "--no-huge"))', makeBricksInterpreter());
  assert.match(inLua, /^false\t.*"dpdk"/);
  const bricks = runBricks(['--dpdk-eal', '--no-huge -m 512'], 'print("ran")');
  assert.deepEqual([bricks.status, bricks.stdout], [1, '']);
  assert.match(bricks.stderr, /^bricks: .*"dpdk".*\n$/);
});

test('options of DPDK in the environment disturb nobody who has no port of it', () => {
  const script = `pe = PktEngine.new("e0")
    pe:link(Brick.new("Dummy"):connect_input("null:?packets=5"):connect_output("null:")) pe:start() pe:wait()
    print(pe:stats().rx_packets)`;
  const bricks = runBricks([], script, { BRICKS_DPDK_EAL: '--no-huge' });
  assert.deepEqual([bricks.status, bricks.stderr, bricks.stdout.split('\n')[0]], [0, '', '5']);
});
