// Filter's rules: texts into rules and back, what each action does to packets of a capture, times, and changes while an
// engine runs. Which rule decides a packet is compared with a model in test/native/test_rules.c.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, mock, test } from 'node:test';
import type { ListedRule } from '../../bricks/filter/rule_text.ts';
import { BrickControl } from '../../engine/brick_control.ts';
import { Brick, PktEngine } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import { assertSamePackets, type Packet, readCapture, timed, writeCapture } from '../support/capture.ts';
import { engineName, runGraph } from '../support/engines.ts';
import { makeFolder } from '../support/files.ts';
import { buildEcho, buildFragments, buildPacket, type Flow, reverse } from '../support/packets.ts';
import { until } from '../support/programs.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
let folder = '';
before(() => {
  folder = makeFolder(root);
});

const web: Flow = {
  source: '10.0.0.1',
  destination: '10.0.1.1',
  protocol: 'tcp',
  sourcePort: 50000,
  destinationPort: 80,
};
const dns: Flow = {
  source: '10.0.0.2',
  destination: '10.0.1.53',
  protocol: 'udp',
  sourcePort: 50001,
  destinationPort: 53,
};
const web6: Flow = { ...web, source: '2001:db8::1', destination: '2001:db8:1::1' };
const connection = { type: 'connection', src: '10.0.0.1', dst: '10.0.1.1', proto: 'tcp', sport: 50000, dport: 80 };

const webOf6 = { ...connection, src: web6.source, dst: web6.destination };

/** The frames of each kind that rules tell apart; all of them are different. */
const kinds: Readonly<Record<string, readonly Buffer[]>> = {
  web: [buildPacket(web), buildPacket(web, { payload: 99, vlans: [{ id: 5 }] })],
  'web back': [buildPacket(reverse(web)), buildPacket(reverse(web), { ipOptions: Buffer.alloc(8, 1) })],
  'web, other port': [buildPacket({ ...web, sourcePort: 50002 })],
  'web, fragments': buildFragments(web, 64, 7, { payload: 150 }),
  dns: [buildPacket(dns)],
  'dns back': [buildPacket(reverse(dns))],
  web6: [buildPacket(web6), buildPacket(web6, { extensions: ['hop', 'destination'] })],
  'web6 back': [buildPacket(reverse(web6))],
  ping: [buildEcho(web, false)],
  other: [buildPacket(dns, { sourceMac: '02:00:00:00:00:99', payload: 7 })],
};
const packets = timed(Object.values(kinds).flat());

/** Indices of the packets of some kinds. */
function of(...names: string[]): number[] {
  const all = Object.entries(kinds).flatMap(([name, frames]) => frames.map(() => name));
  return all.flatMap((name, i) => (names.includes(name) ? [i] : []));
}
const everything = packets.map((_, i) => i);
const without = (part: readonly number[]): number[] => everything.filter((i) => !part.includes(i));

let files = 0;

/** Runs the packets through a Filter with these rules; what came out of each output, as indices, and the rules afterwards. */
async function filterBy(rules: readonly object[], options: Readonly<Record<string, string>> = {}, given = packets) {
  const stem = join(folder, `f${++files}`);
  writeCapture(`${stem}.pcap`, given);
  const outputs = [0, 1, 2].map((i) => `${stem}-${i}.pcap`);
  const brick = new Brick('Filter', options).connectInput(`pcap:${stem}.pcap`);
  brick.connectOutput(...outputs.map((file) => `pcap:${file}`));
  const ids = brick.call('add', rules) as number[];
  const stats = await runGraph(brick, {}, 7);
  const got = outputs.map((file) => readCapture(file).packets);
  const indices = got.map((list) =>
    list.map(({ timestampNs }) => given.findIndex((one) => one.timestampNs === timestampNs)),
  );
  got.forEach((list, i) => {
    assertSamePackets(
      list,
      (indices[i] ?? []).map((index) => given[index] as Packet),
      `output ${i}`,
    );
  });
  return { ids, outputs: indices, listed: brick.call('rules') as ListedRule[], drops: stats.bricks[0]?.drops };
}

test('each type of rule matches what it says, and nothing else', async () => {
  const both = of('web', 'web back');
  const ofWebHosts = of('web', 'web back', 'web, other port', 'web, fragments', 'ping');
  const cases: readonly (readonly [object, readonly number[]])[] = [
    [connection, both],
    [{ ...connection, src: '10.0.1.1', dst: '10.0.0.1', sport: 80, dport: 50000 }, both],
    [{ ...connection, src: '2001:db8::1', dst: '2001:db8:1::1' }, of('web6', 'web6 back')],
    [{ type: 'connection', src: '10.0.0.1', dst: '10.0.1.1', proto: 'icmp' }, of('ping')],
    [{ type: 'flow', proto: 'tcp', dport: 80 }, of('web', 'web, other port', 'web6')],
    [{ type: 'flow', src: '10.0.0.0/24' }, of('web', 'web, other port', 'web, fragments', 'dns', 'ping', 'other')],
    [{ type: 'flow', src: '10.0.0.0/24', dst: '10.0.1.53' }, of('dns', 'other')],
    [{ type: 'flow', dst: '2001:db8:1::/48', sport: 50000 }, of('web6')],
    [{ type: 'flow', proto: 17 }, of('dns', 'dns back', 'other')],
    [{ type: 'flow' }, everything],
    [{ type: 'ip', address: '10.0.0.1' }, ofWebHosts],
    [{ type: 'ip', src: '10.0.0.1/32' }, ofWebHosts],
    [{ type: 'ip', address: '2001:db8::/64' }, of('web6', 'web6 back')],
    [{ type: 'mac', address: '02:00:00:00:00:99' }, of('other')],
    [{ type: 'mac', address: '2:0:0:0:0:1' }, without(of('other'))],
  ];
  for (const [rule, matched] of cases) {
    const { outputs, listed, drops } = await filterBy([{ ...rule, action: 'drop' }]);
    const what = JSON.stringify(rule);
    assert.deepEqual(outputs, [without(matched), [], []], what);
    assert.equal(drops?.rule_drop, matched.length, what);
    assert.equal(listed[0]?.packets, matched.length, what);
    assert.equal(
      listed[0]?.bytes,
      matched.reduce((sum, i) => sum + (packets[i]?.wireLength ?? 0), 0),
      what,
    );
  }
});

test('actions: drop, pass, mirror and output', async () => {
  const rule = { type: 'flow', proto: 'udp' };
  const udp = of('dns', 'dns back', 'other');
  const run = async (fields: object) => (await filterBy([{ ...rule, ...fields }])).outputs;
  assert.deepEqual(await run({ action: 'drop' }), [without(udp), [], []]);
  assert.deepEqual(await run({ action: 'pass' }), [everything, [], []]);
  assert.deepEqual(await run({ action: 'output', output: 2 }), [without(udp), [], udp]);
  assert.deepEqual(await run({ action: 'mirror', output: 2 }), [everything, [], udp]);
  assert.deepEqual(
    await run({ action: 'mirror', output: 0 }),
    [everything, [], []],
    'where it goes anyway it goes once',
  );
});

test('a batch that loses packets and gains copies: both are counted', async () => {
  // runGraph() checks the sums.
  const { outputs, drops } = await filterBy([
    { type: 'flow', proto: 'udp', action: 'mirror', output: 1 },
    { ...connection, action: 'drop' },
  ]);
  assert.deepEqual(outputs, [without(of('web', 'web back')), of('dns', 'dns back', 'other'), []]);
  assert.equal(drops?.rule_drop, 4);
});

/** Why expressions cannot be compiled here, or false. */
function skipExpressions(): string | false {
  try {
    new Brick('Filter', 'udp');
    return false;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

test('what no rule decides is for the expression', { skip: skipExpressions() }, async () => {
  const rules = [
    { ...connection, action: 'pass' },
    { type: 'flow', src: '10.0.0.2', action: 'mirror', output: 2 },
    { type: 'flow', proto: 'icmp', action: 'mirror', output: 1 },
    { ...webOf6, action: 'output', output: 2 },
  ];
  const { outputs } = await filterBy(rules, { expr: 'udp' });
  const matched = of('web', 'web back', 'dns', 'dns back', 'other');
  const mirrored = of('dns', 'other', 'web6', 'web6 back');
  assert.deepEqual(outputs, [matched, of('web, other port', 'web, fragments', 'ping'), mirrored]);
});

test('a copy of what the expression does not match is sent, and the packet counted as filtered', {
  skip: skipExpressions(),
}, async () => {
  const input = join(folder, 'filtered.pcap');
  writeCapture(input, packets);
  const brick = new Brick('Filter', 'udp').connectInput(`pcap:${input}`).connectOutput('null:');
  brick.call('add', [
    { ...connection, action: 'mirror', output: 0 },
    { type: 'flow', proto: 'icmp', action: 'drop' },
  ]);
  const stats = await runGraph(brick);
  const udp = of('dns', 'dns back', 'other').length;
  const mirrored = of('web', 'web back').length;
  assert.deepEqual(stats.bricks[0]?.outputs, [udp + mirrored]);
  assert.deepEqual(stats.bricks[0]?.drops, { filtered: packets.length - udp - 1, rule_drop: 1 });
  assert.equal(stats.copies, mirrored);
});

test('of several rules the highest priority decides, of equal ones the oldest', async () => {
  const rules = [
    { type: 'flow', proto: 'tcp', action: 'output', output: 1 },
    { ...connection, action: 'drop' },
    { type: 'ip', address: '10.0.1.1', action: 'output', output: 2, priority: 1 },
    { type: 'flow', proto: 'icmp', action: 'drop', priority: -1 },
  ];
  const { outputs, listed } = await filterBy(rules);
  const ofHost = of('web', 'web back', 'web, other port', 'web, fragments', 'ping');
  const tcp6 = of('web6', 'web6 back');
  assert.deepEqual(outputs, [of('dns', 'dns back', 'other'), tcp6, ofHost]);
  assert.deepEqual(
    listed.map((rule) => rule.packets),
    [tcp6.length, 0, ofHost.length, 0],
  );
});

test('by the clock of packets a replay is judged as it was', async () => {
  const [first, last] = [packets[3], packets[9]];
  assert.ok(first !== undefined && last !== undefined);
  // Times of rules are microseconds, so packets of this test are seconds apart.
  const slow = packets.map((packet, i) => ({
    ...packet,
    timestampNs: 1_700_000_000_000_000_000n + BigInt(i) * 1_000_000_000n,
  }));
  const rule = { type: 'flow', action: 'drop', start: 1_700_000_003, duration_s: 6 };
  const { outputs, listed } = await filterBy([rule], { clock: 'packet' }, slow);
  assert.deepEqual(outputs[0], without([3, 4, 5, 6, 7, 8]));
  assert.deepEqual(listed, [], 'it has expired');
  await assert.rejects(
    filterBy([{ type: 'flow', action: 'drop', duration_s: 6 }], { clock: 'packet' }),
    /start: give it/,
  );
});

test('what has expired is taken away without being asked for', async () => {
  const brick = new Brick('Filter');
  assert.throws(
    () => brick.call('add', { type: 'flow', action: 'drop', start: 1, duration_s: 5 }),
    /has expired already/,
  );
  const command = mock.method(BrickControl.prototype, 'command');
  try {
    brick.call('add', { type: 'flow', action: 'drop', duration_s: 0.001 });
    brick.call('add', { type: 'flow', action: 'drop', duration_s: 1e-9 });
    // Operation 4 is reaping; its answer 0 says that nothing is left to reap.
    await until('the rule to be reaped', () =>
      command.mock.calls.some(
        ({ this: control, arguments: [request], result }) =>
          control === brick.control && request[0] === 4 && result?.[0] === 0,
      ),
    );
  } finally {
    command.mock.restore();
  }
  assert.deepEqual(brick.call('rules'), []);
});

test('what is added is what is listed', () => {
  const brick = new Brick('Filter');
  const rules = [
    { ...connection, action: 'drop', priority: 1000 },
    { ...connection, src: '192.168.200.1', action: 'pass', priority: -1000 },
    {
      type: 'flow',
      src: '10.0.0.0/8',
      dst: '10.9.0.0/16',
      proto: 'udp',
      sport: 0,
      dport: 65535,
      action: 'mirror',
      output: 1023,
    },
    { type: 'flow', dst: '2001:db8::/33', action: 'output', output: 0 },
    { type: 'flow', proto: '200', action: 'drop' },
    { type: 'flow', src: '0.0.0.0/0', action: 'drop' },
    { type: 'flow', src: '::/0', action: 'drop', duration_s: 1000 },
    { type: 'ip', address: '::ffff:10.1.2.3', action: 'drop' },
    { type: 'ip', address: '::/0', action: 'drop' },
    { type: 'mac', address: '02:00:5e:10:00:0f', action: 'drop' },
    {
      type: 'connection',
      src: 'fe80::1',
      dst: 'ff02::1',
      proto: 'icmp6',
      action: 'drop',
      start: 2_000_000_000.5,
      duration_s: 0.25,
    },
  ];
  const ids = brick.call('add', rules) as number[];
  const listed = brick.call('rules') as ListedRule[];
  const expected = rules.map((rule, i) => ({ priority: 0, packets: 0, bytes: 0, ...rule, id: ids[i] }));
  const shown = ['::ffff:a01:203', '::/0'];
  assert.deepEqual(
    listed.map(({ start, ...rule }) => (rule.id === ids.at(-1) ? { ...rule, start } : rule)),
    expected.map((rule) => ('address' in rule && rule.type === 'ip' ? { ...rule, address: shown.shift() } : rule)),
  );
  assert.deepEqual([brick.call('remove', ids.slice(0, 2)), brick.call('remove', ids), brick.call('clear')], [2, 9, 0]);
  const again = brick.call('add', { type: 'flow', action: 'drop' }) as number;
  assert.ok(again > (ids.at(-1) ?? 0), 'ids are not used again');
});

test('what is wrong with a rule is said in one line that names the field', () => {
  const brick = new Brick('Filter');
  const ip = { type: 'ip', address: '10.0.0.1', action: 'drop' };
  const wrong: readonly (readonly [unknown, string])[] = [
    [undefined, 'rule: not a rule; write { type = "ip", address = "10.0.0.1", action = "drop" }'],
    ['drop', 'rule: not a rule; '],
    [{}, 'rule: type: is missing; have: connection, flow, ip, mac'],
    [{ type: 'host' }, 'rule: type "host": there is no such one; have: '],
    [{ type: 'ip', address: '10.0.0.1' }, 'rule: action: is missing; have: drop, pass, mirror, output'],
    [{ ...ip, action: 'reject' }, 'rule: action "reject": there is no such one; '],
    [{ ...ip, dport: 80 }, 'rule: dport 80: type "ip" has no such field; have: address, '],
    [{ ...ip, address: '10.0.0.300' }, 'rule: address "10.0.0.300": not an IP address; write 10.0.0.1, '],
    [{ ...ip, address: 'fe80::1%eth0' }, 'rule: address "fe80::1%eth0": not an IP address; '],
    [{ ...ip, address: '10.0.0.0/33' }, 'rule: address "10.0.0.0/33": not a prefix length; it must be 0 to 32'],
    [{ ...ip, address: '10.0.0.0/' }, 'rule: address "10.0.0.0/": not a prefix length; '],
    [{ ...ip, address: '10.0.0.0/8/8' }, 'rule: address "10.0.0.0/8/8": not an IP address; '],
    [{ ...ip, src: '10.0.0.2' }, 'rule: src "10.0.0.2": type "ip" has one address, '],
    [{ ...ip, output: 1 }, 'rule: output 1: action "drop" has none; leave it out'],
    [{ ...ip, action: 'mirror' }, 'rule: output: is missing; action "mirror" needs one'],
    [
      { ...ip, action: 'output', output: 1024 },
      'rule: output 1024: out of range; it must be a whole number from 0 to 1023',
    ],
    [{ ...ip, priority: 1001 }, 'rule: priority 1001: out of range; it must be a whole number from -1000 to 1000'],
    [{ ...ip, start: -1 }, 'rule: start -1: not a time; '],
    [{ ...ip, duration_s: 'soon' }, 'rule: duration_s "soon": not a time; '],
    [
      { type: 'mac', address: '02:00', action: 'drop' },
      'rule: address "02:00": not a MAC address; write 02:00:00:00:00:01',
    ],
    [{ ...connection, action: 'drop', dst: undefined }, 'rule: dst: is missing; write 10.0.0.1 or 2001:db8::1'],
    [
      { ...connection, action: 'drop', src: '10.0.0.0/8' },
      'rule: src "10.0.0.0/8": a connection has whole addresses; ',
    ],
    [{ ...connection, action: 'drop', dst: '::1' }, 'rule: dst "::1": src and dst are of IPv4 and IPv6; '],
    [{ ...connection, action: 'drop', sport: undefined }, 'rule: sport: is missing; a connection has both ports'],
    [{ ...connection, action: 'drop', proto: 'icmp' }, 'rule: sport 50000: protocol icmp has no ports; leave it out'],
    [{ ...connection, action: 'drop', proto: undefined }, 'rule: proto: is missing; '],
    [
      { ...connection, action: 'drop', proto: 'tpc' },
      'rule: proto "tpc": no protocol; it must be 0 to 255, or one of ',
    ],
    [{ ...connection, action: 'drop', dport: 65536 }, 'rule: dport 65536: out of range; '],
    [[ip, { ...ip, address: 'x' }], 'rule 2: address "x": not an IP address; '],
  ];
  for (const [rule, message] of wrong) {
    assert.throws(
      () => brick.call('add', rule),
      (error: Error) => {
        assert.ok(error.message.startsWith(message), `${error.message}\nis not: ${message}`);
        assert.doesNotMatch(error.message, /\n/);
        return error.name === 'BricksError';
      },
    );
  }
  for (const id of [undefined, 0, -1, 1.5, 'x', {}, [1, 'x']])
    assert.throws(() => brick.call('remove', id), /not the id of a rule/);
  assert.throws(() => brick.call('drop', 1), /brick "Filter": has no command "drop"; have: add, remove, rules, clear/);
  assert.deepEqual(brick.call('rules'), []);
});

test('what cannot be shown whole is refused as any other value', () => {
  const filter = new Brick('Filter');
  let deep: unknown = [];
  for (let i = 0; i < 20_000; i++) deep = { deep };
  for (const [attempt, shown] of [
    [() => filter.call('remove', 1n), 'rule 1: '],
    [() => filter.call('remove', deep), 'rule an object that is no JSON, or too deep: '],
    [() => filter.call('add', { type: 'ip', address: deep, action: 'drop' }), 'too deep: '],
    [() => filter.call('add', { type: 'x'.repeat(100_000) }), 'xxx...: '],
    [() => new Brick('LoadBalancer', { tuple: 1n as never }), 'is 1; '],
  ] as const) {
    assert.throws(attempt, (error: Error) => {
      assert.equal(error.name, 'BricksError', String(error));
      assert.ok(error.message.includes(shown) && error.message.length < 400, error.message);
      return true;
    });
  }
});

test('a list is added whole or not at all, however long', () => {
  const brick = new Brick('Filter');
  const many = Array.from({ length: 300 }, (_, i) => ({
    type: 'flow',
    src: `${i % 200}.0.0.0/${8 + (i % 25)}`,
    dst: `10.0.0.0/${i % 33}`,
    action: 'drop',
  }));
  const kept = brick.call('add', { type: 'mac', address: '02:00:00:00:00:01', action: 'drop' }) as number;
  const plain = Array.from({ length: 5000 }, (_, i) => ({
    type: 'ip',
    address: `10.0.${i >> 8}.${i & 255}`,
    action: 'drop',
  }));
  // The first request of it is taken, the second has too many combinations of prefix lengths.
  assert.throws(() => brick.call('add', [...plain, ...many]), /at most 256 combinations of fields and prefix lengths/);
  assert.deepEqual(
    (brick.call('rules') as ListedRule[]).map(({ id }) => id),
    [kept],
  );
  assert.equal((brick.call('add', plain) as number[]).length, 5000);
  assert.equal((brick.call('rules') as ListedRule[]).length, 5001);
});

test('rules for the same packets have a limit; a list that passes it is refused whole', () => {
  const brick = new Brick('Filter');
  const same = Array.from({ length: 20_000 }, () => ({ type: 'ip', src: '10.0.0.1', action: 'drop' }));
  assert.throws(() => brick.call('add', same), {
    message: 'rule: there are 1000 rules for the same packets already; remove some',
  });
  assert.deepEqual(brick.call('rules'), []);
  assert.equal((brick.call('add', same.slice(0, 1000)) as number[]).length, 1000);
});

test('a long list is read in parts', () => {
  const brick = new Brick('Filter');
  const ids = brick.call(
    'add',
    Array.from({ length: 9000 }, (_, i) => ({ type: 'flow', src: `10.${i >> 8}.${i & 255}.1`, action: 'drop' })),
  ) as number[];
  const idsOf = (part: object): number[] => (brick.call('rules', part) as ListedRule[]).map(({ id }) => id);
  assert.deepEqual(idsOf({}), ids);
  assert.deepEqual(idsOf({ max: 5000 }), ids.slice(0, 5000));
  assert.deepEqual(idsOf({ after: ids[4999] }), ids.slice(5000));
  assert.deepEqual(idsOf({ after: ids[10], max: 3 }), ids.slice(11, 14));
  assert.deepEqual(idsOf({ after: ids.at(-1) }), []);
  assert.throws(() => brick.call('rules', { max: 0 }), /max 0: not a whole number from 1; /);
  assert.throws(() => brick.call('rules', { after: 'x' }), /after "x": not a whole number from 0; /);
  assert.throws(() => brick.call('rules', { from: 1 }), /from 1: there is no such field; have: after, max/);
});

test('rules outlive stops; an engine without the outputs that they name does not start', async () => {
  const brick = new Brick('Filter').connectInput('null:?packets=100').connectOutput('null:', 'null:');
  const engine = new PktEngine(engineName());
  try {
    const id = brick.call('add', { type: 'flow', action: 'output', output: 2 }) as number;
    engine.link(brick);
    assert.throws(() => engine.start(), {
      message: `brick "Filter": rule ${id} names output 2, and the last one is 1; remove(${id}) removes it`,
    });
    brick.call('remove', id);
    brick.call('add', { type: 'flow', action: 'output', output: 1 });
    for (const run of [1, 2]) {
      engine.start();
      assert.throws(
        () => brick.call('add', { type: 'flow', action: 'output', output: 2 }),
        /there is no output 2; the last one is 1/,
      );
      await engine.wait(30);
      engine.stop();
      assert.equal((brick.call('rules') as ListedRule[])[0]?.packets, 100 * run);
    }
    assertAccounting(engine.stats(), engine.plan);
  } finally {
    engine.delete();
  }
});

test('changes while packets flow lose none', async () => {
  const brick = new Brick('Filter').connectInput('null:?flows=1000').connectOutput('null:', 'null:');
  const engine = new PktEngine(engineName()).link(brick);
  try {
    engine.start();
    const rules = Array.from({ length: 200 }, (_, i) => ({
      type: 'flow',
      src: `10.0.${i >> 6}.${i & 63}`,
      action: 'drop',
    }));
    for (let round = 0; round < 50; round++) {
      const ids = brick.call('add', [
        ...rules,
        { type: 'flow', proto: 'udp', action: 'mirror', output: 1, priority: round % 2 },
      ]) as number[];
      await until('packets that the rules decide', () =>
        (brick.call('rules') as ListedRule[]).some((rule) => rule.packets > 0),
      );
      assert.equal(brick.call('remove', ids), ids.length);
    }
    engine.stop();
    const stats = engine.stats();
    assertAccounting(stats, engine.plan);
    assert.ok((stats.bricks[0]?.copies ?? 0) > 0);
    assert.equal(brick.call('clear'), 0);
  } finally {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
});
