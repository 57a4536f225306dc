// Options of DPDK, with the real library: nobody loads it who has no port of it, and they reach it before its first port.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { probeDrivers } from '../../index.ts';
import { nodeArguments, projectFolder } from '../support/programs.ts';

const dpdk = probeDrivers().find(({ name }) => name === 'dpdk');
const skip = dpdk?.available === true ? false : (dpdk?.reason ?? 'there is no driver "dpdk"');

/** Sends packets from one port to null:, then says whether DPDK is in the process, and what the port's device counted. */
function runFrom(port: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const script = `pe = PktEngine.new("e0")
    pe:link(Brick.new("Dummy"):connect_input("${port}"):connect_output("null:"))
    pe:start()
    repeat BRICKS.sleep(0.01) until pe:stats().rx_packets > 0
    pe:stop()
    local maps = io.open("/proc/self/maps"):read("*all")
    local counted = 0
    for name, value in pairs(pe:stats().ports[1].device or {}) do counted = counted + 1 end
    print(maps:find("librte_eal", 1, true) ~= nil, counted > 0)
    os.exit(0)`;
  const options = { cwd: projectFolder, encoding: 'utf8', input: script, env: { ...process.env, ...env } } as const;
  return spawnSync('node', [...nodeArguments('shell/bricks.ts'), ...args], options);
}

const small = '--no-huge -m 128';

test('options in the environment load nothing until there is a port of DPDK', { skip }, () => {
  const without = runFrom('null:', [], { BRICKS_DPDK_EAL: '--no-such-option' });
  assert.match(without.stdout, /^false\tfalse\n/, without.stderr);
  const refused = runFrom('dpdk:net_null0', [], { BRICKS_DPDK_EAL: '--no-such-option' });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /^bricks: stdin:3: .*--no-such-option/m);
  const used = runFrom('dpdk:net_null0', [], { BRICKS_DPDK_EAL: small });
  assert.match(used.stdout, /^true\ttrue\n/m, used.stderr);
});

test('options on the command line go before the environment, and are checked at once', { skip }, () => {
  const used = runFrom('dpdk:net_null0', ['--dpdk-eal', small], { BRICKS_DPDK_EAL: '--no-such-option' });
  assert.match(used.stdout, /^true\ttrue\n/m, used.stderr);
  const torn = runFrom('null:', ['--dpdk-eal', '--no-huge -m "128']);
  assert.deepEqual([torn.status, torn.stdout], [1, '']);
  assert.match(torn.stderr, /^bricks: .*quote.*\n$/);
});

test('an option at which DPDK would print its usage and end the process is refused', { skip }, () => {
  for (const word of ['--help', '--he', '-h', '-vh']) {
    const { status, stderr } = runFrom('dpdk:net_null0', ['--dpdk-eal', word]);
    assert.equal(status, 1, word);
    assert.match(stderr, new RegExp(`^bricks: options of DPDK: ${word} would end this process; .*\\n$`));
  }
});

test('long options may be cut as DPDK takes them', { skip }, () => {
  const used = runFrom('dpdk:net_null0', ['--dpdk-eal', '--no-hug -m 128']);
  assert.match(used.stdout, /^true\ttrue\n/m, used.stderr);
});
