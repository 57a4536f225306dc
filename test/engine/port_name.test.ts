// Port names: [driver:]name[{n | }n][?key=value&key=value], as the design page's table has them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BricksError } from '../../engine/errors.ts';
import { type NamingDriver, type PortName, parsePortName, pipeName } from '../../engine/port_name.ts';

const drivers: readonly NamingDriver[] = [
  { name: 'dpdk', names: 'device' },
  { name: 'memif', names: 'device' },
  { name: 'netmap', names: 'interface' },
  { name: 'null', names: 'nothing' },
  { name: 'packet', names: 'interface' },
  { name: 'pcap', names: 'file' },
  { name: 'pipe', names: 'pipe' },
  { name: 'tap', names: 'new interface' },
  { name: 'veth', names: 'new interface' },
  { name: 'xdp', names: 'interface' },
];
const parse = (text: string, isPath = false): PortName => parsePortName(text, drivers, isPath ? 'pcap' : undefined);

/** A thrown error's code must be this one, its text one line with the name in it. */
function refuses(text: string, code: string, isPath = false): void {
  assert.throws(
    () => parse(text, isPath),
    (error: unknown) => {
      assert.ok(error instanceof BricksError);
      assert.equal(error.code, code, `${JSON.stringify(text)}: ${error.message}`);
      assert.ok(error.message.startsWith('port "'), error.message);
      return true;
    },
    JSON.stringify(text),
  );
}

test('examples of the table', () => {
  for (const [text, driver, name, pipe, options] of [
    ['eth3', undefined, 'eth3', undefined, {}],
    ['packet:eth3', 'packet', 'eth3', undefined, {}],
    ['xdp:eth3', 'xdp', 'eth3', undefined, {}],
    ['netmap:eth3', 'netmap', 'eth3', undefined, {}],
    ['eth3{0', undefined, 'eth3', { end: '{', number: 0 }, {}],
    ['eth3}0', undefined, 'eth3', { end: '}', number: 0 }, {}],
    ['eth3}1023', undefined, 'eth3', { end: '}', number: 1023 }, {}],
    ['pcap:/path/file.pcap', 'pcap', '/path/file.pcap', undefined, {}],
    ['pcap:/path/file.pcap?speed=1', 'pcap', '/path/file.pcap', undefined, { speed: '1' }],
    ['pcap:-', 'pcap', '-', undefined, {}],
    ['veth:bro0', 'veth', 'bro0', undefined, {}],
    ['tap:bricks0', 'tap', 'bricks0', undefined, {}],
    ['null:', 'null', '', undefined, {}],
    ['null:?frames=60', 'null', '', undefined, { frames: '60' }],
    ['null:?frames=60&flows=5', 'null', '', undefined, { frames: '60', flows: '5' }],
    ['x{3?wait=1&slots=128', undefined, 'x', { end: '{', number: 3 }, { wait: '1', slots: '128' }],
    ['eth0.100', undefined, 'eth0.100', undefined, {}],
    ['xdp:eth3?queue=2&mode=copy', 'xdp', 'eth3', undefined, { queue: '2', mode: 'copy' }],
    ['netmap:eth3{0', 'netmap', 'eth3', { end: '{', number: 0 }, {}],
    ['netmap:eth3}0', 'netmap', 'eth3', { end: '}', number: 0 }, {}],
    ['netmap:vale0:a', 'netmap', 'vale0:a', undefined, {}],
    ['netmap:vale0:a}3', 'netmap', 'vale0:a', { end: '}', number: 3 }, {}],
    ['dpdk:0000:3b:00.0', 'dpdk', '0000:3b:00.0', undefined, {}],
    [
      'dpdk:net_memif0,role=server,id=0,socket=/run/x.sock',
      'dpdk',
      'net_memif0,role=server,id=0,socket=/run/x.sock',
      undefined,
      {},
    ],
    ['dpdk:net_tap0,remote=a{0}?queue=1', 'dpdk', 'net_tap0,remote=a{0}', undefined, { queue: '1' }],
    ['memif:/run/x.sock?id=0&role=server', 'memif', '/run/x.sock', undefined, { id: '0', role: 'server' }],
    ['a-b_c.d{7', undefined, 'a-b_c.d', { end: '{', number: 7 }, {}],
  ] as const) {
    assert.deepEqual(parse(text), { text, driver, name, pipe, options }, text);
  }
});

test('a path may hold what a name may not: colons, braces, question marks before the last', () => {
  assert.equal(parse('pcap:/tmp/a{0}b:c.pcap').name, '/tmp/a{0}b:c.pcap');
  assert.equal(parse('pcap:/tmp/a?b.pcap?speed=1').name, '/tmp/a?b.pcap');
  assert.equal(parse('/tmp/x:y}3', true).name, '/tmp/x:y}3');
  assert.equal(parse('/tmp/x:y}3', true).pipe, undefined);
  assert.equal(parse('/tmp/with space.pcap', true).name, '/tmp/with space.pcap');
});

test('names that are none', () => {
  refuses('', 'PORT_NAME_INVALID');
  refuses('eth0\0', 'PORT_NAME_INVALID');
  refuses('eth3{', 'PORT_NAME_INVALID');
  refuses('eth3}', 'PORT_NAME_INVALID');
  refuses('{0', 'PORT_NAME_INVALID');
  refuses('a/b{0', 'PORT_NAME_INVALID');
  refuses('../../etc/x{0', 'PORT_NAME_INVALID');
  refuses('a b{0', 'PORT_NAME_INVALID');
  refuses('ü{0', 'PORT_NAME_INVALID');
  refuses('a{1000000', 'PORT_NAME_INVALID');
  refuses('a{99999999999999999999', 'PORT_NAME_INVALID');
  refuses('eth0?', 'PORT_NAME_INVALID');
  refuses('eth0?x', 'PORT_NAME_INVALID');
  refuses('eth0?=1', 'PORT_NAME_INVALID');
  refuses('eth0?a=1&', 'PORT_NAME_INVALID');
  refuses('eth0?a=1&a=2', 'PORT_NAME_INVALID');
});

test('a brace with something behind its number is no pipe by accident', () => {
  for (const text of ['eth3{0x', 'eth3{-1', 'eth3{1.5', 'eth3{ 1', 'eth3{0}', 'eth3{0{']) {
    let port: PortName;
    try {
      port = parse(text);
    } catch (error) {
      assert.ok(error instanceof BricksError && error.code === 'PORT_NAME_INVALID', text);
      continue;
    }
    // Accepted as something else: then never as that pipe.
    assert.notDeepEqual(port.pipe, { end: '{', number: 0 }, `${text} is taken for ${JSON.stringify(port)}`);
    assert.fail(
      `${text} was taken for the interface ${JSON.stringify(port.name)}: no interface has a brace in its name`,
    );
  }
});

test('an unknown driver is named, with those there are', () => {
  refuses('dpkd:eth3', 'DRIVER_UNKNOWN');
  assert.throws(() => parse('dpkd:eth3'), /port "dpkd:eth3".*"dpkd".*null, packet, pcap, pipe, tap, veth, xdp/);
});

test('an option named like a property of every object is an option like others', () => {
  for (const key of ['__proto__', 'constructor', 'toString']) {
    const { options } = parse(`eth0?${key}=1`);
    assert.deepEqual(Object.entries(options), [[key, '1']], key);
  }
});

test('leading zeros do not make two names of one pipe', () => {
  assert.equal(pipeName(parse('a{007')), 'a}7');
  assert.equal(pipeName(parse('a}7')), 'a}7');
});
