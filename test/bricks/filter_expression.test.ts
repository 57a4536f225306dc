// Filter's expressions: what goes where, against tcpdump and libpcap's own tests; and what is said of mistakes.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Brick } from '../../index.ts';
import { assertSamePackets, readCapture, writeCapture } from '../support/capture.ts';
import { runGraph } from '../support/engines.ts';
import { demoCapture, makeFolder, skipCorpus } from '../support/files.ts';
import { readAnyCapture } from '../support/live_bed.ts';
import { run, skipWithout } from '../support/programs.ts';

const skipTcpdump = skipWithout('tcpdump');

for (const expr of [
  'tcp',
  'udp port 53',
  'not ip',
  'host 10.0.0.1 or net 192.168.0.0/16 or tcp port 443 or udp',
  'ip[6:2] & 0x1fff = 0 and len > 100',
  'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0',
  'ip6 or vlan or arp',
]) {
  test(`"${expr}" parts the demo capture as tcpdump does`, { skip: skipTcpdump }, async (t) => {
    const folder = makeFolder(t);
    const [matched, others] = [join(folder, 'matched.pcap'), join(folder, 'others.pcap')];
    const brick = new Brick('Filter', expr).connectInput(`pcap:${demoCapture}`);
    await runGraph(brick.connectOutput(`pcap:${matched}`, `pcap:${others}`));
    for (const [file, asked] of [
      [matched, expr],
      [others, `not (${expr})`],
    ] as const) {
      const expected = join(folder, 'expected.pcap');
      run('tcpdump', ['-r', demoCapture, '-w', expected, asked]);
      assertSamePackets(readCapture(file).packets, readCapture(expected).packets, asked);
    }
  });
}

test('without an expression everything matches; with one output the others are dropped and counted', async () => {
  const all = await runGraph(new Brick('Filter').connectInput(`pcap:${demoCapture}`).connectOutput('null:', 'null:'));
  const { packets } = readCapture(demoCapture);
  assert.deepEqual(all.bricks[0]?.outputs, [packets.length, 0]);
  const udp = packets.filter(({ data }) => data.readUInt16BE(12) === 0x0800 && data[23] === 17).length;
  assert.ok(udp > 0 && udp < packets.length);
  const some = await runGraph(
    new Brick('Filter', { expr: 'ip proto 17' }).connectInput(`pcap:${demoCapture}`).connectOutput('null:'),
  );
  assert.deepEqual(some.bricks[0]?.outputs, [udp]);
  assert.equal(some.bricks[0]?.drops.filtered, packets.length - udp);
});

test('packets of a link type that the expression has no meaning for do not match, and are counted', async (t) => {
  const file = join(makeFolder(t), 'user0.pcap');
  const { packets } = readCapture(demoCapture);
  writeCapture(file, packets);
  const bytes = readFileSync(file);
  bytes.writeUInt32LE(147, 20); // LINKTYPE_USER0
  writeFileSync(file, bytes);
  const stats = await runGraph(new Brick('Filter', 'ip').connectInput(`pcap:${file}`).connectOutput('null:', 'null:'));
  assert.deepEqual(stats.bricks[0]?.outputs, [0, packets.length]);
  assert.equal(stats.bricks[0]?.others.unsupported_link, packets.length);
});

/** Expressions with a mistake, and what the message says of it. */
const mistakes: readonly (readonly [string, string])[] = [
  ['tcp prt 80', 'syntax error at position 5, "prt"'],
  ['tcp port 80 or or udp', 'syntax error at position 16, "or"'],
  ['tcp port 80) or ip', 'syntax error at position 12, ")"'],
  ['tcp port 80 and (vlan and icmp', 'syntax error at its end: something is missing'],
  ['tcp[tcpflags] & (tcp-syn|tcp-ack) != 0 and', 'syntax error at its end: something is missing'],
  ['host', 'syntax error at its end: something is missing'],
  ['port 99999', 'illegal port number 99999 > 65535 at position 6, "99999"'],
  ['ip[0] << 40 = 0', 'shift by more than 31 bits at position 10, "40"'],
  ['tcp and len / 0 = 1 and udp', 'division by zero at position 15, "0"'],
  ['ip and arp', 'no packet can match it'],
  ['udp\nfoo', 'syntax error at position 5, "foo"'],
];

for (const [expr, said] of mistakes) {
  test(`${JSON.stringify(expr)}: ${said}`, () => {
    assert.throws(
      () => new Brick('Filter', expr),
      ({ message }: Error) => {
        assert.ok(message.startsWith(`filter "${expr.replace('\n', ' ')}": ${said}`), message);
        assert.doesNotMatch(message, /\n/);
        return true;
      },
    );
  });
}

// Made into code at each look, its beginnings would take minutes.
test('the mistake in a long list is found without making code of what comes before it', () => {
  const list = `port ${Array.from({ length: 1000 }, (_, i) => i).join(' or ')}`;
  const said = `syntax error at position ${list.length + 6}, "and"`;
  assert.throws(
    () => new Brick('Filter', `${list} and and`),
    ({ message }: Error) => message.includes(said),
  );
});

test('an expression that is too long is refused, and the limit said', () => {
  const expr = Array.from({ length: 1000 }, (_, i) => `tcp port ${i}`).join(' or ');
  assert.throws(() => new Brick('Filter', expr), /an expression of \d+ bytes; it may have 8192/);
});

/** Terms joined by "or", of which libpcap would make so many instructions that it takes 20 seconds. */
const manyPorts = (from: string): string => `${from} or ${Array.from({ length: 1000 }, (_, i) => i + 1).join(' or ')}`;

// Compiled as they are they would hold this process, and a daemon, for as long: the limit of the run finds that.
for (const [what, expr] of [
  ['a list of ports', manyPorts('port 1')],
  ['one within brackets', `tcp and (${manyPorts('(port 1')}))`],
  ['dense terms behind others', `${'ip||'.repeat(500)}portrange 1-2${'||1-2'.repeat(900)}`],
  ['one for another link type', `wlan type mgt and (${manyPorts('port 1')})`],
] as const) {
  test(`${what}, below the limit of bytes that libpcap has no time for, is refused, and the limit said`, () => {
    assert.throws(
      () => new Brick('Filter', expr),
      ({ message }: Error) => /^filter ".*\.\.\.": too long: more than 12000 instructions; .*rules/.test(message),
    );
  });
}

test('a long list within the limit, compiled in parts first, is taken', () => {
  const hosts = Array.from({ length: 380 }, (_, i) => `10.0.${i >> 8}.${i & 255}`).join(' or ');
  assert.ok(new Brick('Filter', `tcp and (udp or (host ${hosts}))`));
});

/** A test of libpcap: an expression, a capture, and what its filter returns for each packet. */
interface ApplyTest {
  readonly name: string;
  readonly expr: string;
  readonly savefile: string;
  readonly results: readonly number[];
  readonly netmask?: string;
  readonly debian_1_10_3: string | readonly number[];
}

/** What Debian's libpcap does: as upstream, something else, or it refuses and nothing matches. */
function expectedResults({ debian_1_10_3: debian, results }: ApplyTest): readonly number[] {
  if (debian === 'same') return results;
  return typeof debian === 'string' ? results.map(() => 0) : debian;
}

test("libpcap's own tests of expressions on captures", { skip: skipCorpus || skipWithout('editcap') }, async (t) => {
  const folder = join(process.env.BRICKS_CORPUS ?? '', 'bpf/libpcap-testrun');
  const tests = JSON.parse(readFileSync(join(folder, 'apply.json'), 'utf8')) as ApplyTest[];
  const folderOfTest = makeFolder(t);
  const output = join(folderOfTest, 'matched.pcap');
  // Names of hosts, which would have to be in /etc/hosts, and netmasks, which captures do not have, are left out.
  const usable = tests.filter(({ expr, netmask }) => netmask === undefined && !expr.includes('.libpcap.test'));
  assert.ok(usable.length > 150);
  for (const one of usable) {
    await t.test(one.name, async () => {
      const input = join(folder, 'savefiles', one.savefile);
      const expected = expectedResults(one);
      let brick: Brick;
      try {
        brick = new Brick('Filter', one.expr);
      } catch (error) {
        assert.match(String(one.debian_1_10_3), /^rejects/, String(error));
        return;
      }
      await runGraph(brick.connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`));
      const all = input.endsWith('ng') ? readAnyCapture(input, folderOfTest) : readCapture(input).packets;
      const wanted = all.filter((_, i) => (expected[i] ?? 0) !== 0);
      const matched = readCapture(output).packets.map(({ data }) => data.toString('hex'));
      assert.deepEqual(
        matched,
        wanted.map(({ data }) => data.toString('hex')),
      );
    });
  }
});
