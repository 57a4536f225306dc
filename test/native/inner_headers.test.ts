// Innermost headers and kept fragments over the corpus, against tshark. tshark dissects far more than is seen through here;
// the rules below say which of the IP headers it finds count, and what they leave must agree packet by packet.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { formatCapture, type Packet, readCapture } from '../support/capture.ts';
import { corpusCapture, corpusManifest, makeFolder, skipCorpus } from '../support/files.ts';
import { projectFolder, run, skipWithout } from '../support/programs.ts';

const skip = skipCorpus || skipWithout('tshark', 'cc');

/** The link types whose layout the program knows (native/core/batch.h). */
const linkTypes = [0, 1, 101, 113, 276];

/** tshark's layers behind which an IP header is not one that the packet travels under, or none that is looked for. */
const notSeenThrough = new Map([
  ['icmp', 'an error quotes a packet'],
  ['icmpv6', 'an error quotes a packet'],
  ['pim', 'a register message holds a packet'],
  ['openflow', 'a control message holds a packet'],
  ['sflow', 'a sample of a packet'],
  ['ipcomp', 'compressed'],
  ['ayiya', 'a tunnel that inner.h does not name'],
  ['gtpprime', 'charging records'],
  ['nhrp', 'an error quotes a packet'],
  ['nsh', 'a service chain, which inner.h does not name'],
  ['vntag', 'an EtherType that link.h does not name'],
  ['cmd', 'Cisco metadata, an EtherType that link.h does not name'],
  ['cfp', 'FabricPath, an EtherType that link.h does not name'],
  ['ieee8021ah', 'an EtherType that link.h does not name'],
  ['macsec', 'an EtherType that link.h does not name'],
  ['avsp', 'an EtherType that link.h does not name'],
  ['llc', 'no EtherType'],
]);

const transports = new Map([
  ['tcp', 'tcp'],
  ['udp', 'udp'],
  ['udplite', 'udp'],
  ['sctp', 'sctp'],
  ['dccp', 'dccp'],
]);

/** The program inner_headers.c, under ASan and UBSan. */
function buildProgram(t: Pick<TestContext, 'after'>): string {
  const native = join(projectFolder, 'native');
  const program = join(makeFolder(t), 'inner_headers');
  const core = readdirSync(join(native, 'core')).filter((file) => file.endsWith('.c'));
  const cc = spawnSync(
    'cc',
    [
      ...[
        '-std=c17',
        '-D_GNU_SOURCE',
        '-O1',
        '-fsanitize=address,undefined',
        '-fno-sanitize-recover=all',
        '-o',
        program,
      ],
      ...[join(native, 'include'), native, join(projectFolder, 'test/native')].map((folder) => `-I${folder}`),
      join(projectFolder, 'test/native/inner_headers.c'),
      ...core.map((file) => join(native, 'core', file)),
    ],
    { encoding: 'utf8' },
  );
  assert.equal(cc.status, 0, cc.stderr);
  return program;
}

/** What the program makes of one packet. */
interface Found {
  /** Version, addresses, ports of the innermost headers; empty: not IP. */
  readonly headers: string;
  readonly depth: number;
  /** Flow hashes: by the innermost headers; with fragments kept, by outer and by innermost headers. */
  readonly hash: string;
  readonly keptOuter: string;
  readonly keptInner: string;
}

/** An IP address in one spelling, from tshark's text or from hexadecimal digits. */
function address(text: string): string {
  if (text.includes('.') && !text.includes(':')) return text;
  if (/^[0-9a-f]{8}$/.test(text)) return [...Buffer.from(text, 'hex')].join('.');
  const colons = text.includes(':') ? text : (text.match(/.{4}/g) ?? []).join(':');
  return new URL(`http://[${colons}]/`).hostname;
}

function look(program: string, folder: string, packets: readonly Packet[], linkType: number): Found[] {
  const file = join(folder, 'look.pcap');
  writeFileSync(file, formatCapture(packets, { linkType }));
  const text = run('sh', ['-c', '"$0" < "$1"', program, file]);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [version = '', , from = '', to = '', fromPort = '', toPort = '', depth, hash = '', outer = '', inner = ''] =
        line.split(' ');
      return {
        headers: version === '0' ? '' : [version, address(from), address(to), fromPort, toPort].join(' '),
        depth: Number(depth),
        hash,
        keptOuter: outer,
        keptInner: inner,
      };
    });
}

/** tshark's fields of every packet of a capture, each with all its occurrences. */
function dissect(file: string, fields: readonly string[], ...options: readonly string[]): string[][][] {
  const text = run('tshark', [
    ...['-n', '-d', 'udp.port==8472,vxlan', ...options, '-r', file, '-T', 'fields', '-E', 'occurrence=a'],
    ...fields.flatMap((field) => ['-e', field]),
  ]);
  const lines = text.split('\n').slice(0, -1);
  return lines.map((line) => line.split('\t').map((cell) => (cell === '' ? [] : cell.split(','))));
}

const fields = [
  'frame.protocols',
  ...['ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst', 'ip.len', 'ipv6.plen', 'udp.length', 'mpls.label'],
  ...['tcp', 'udp', 'sctp', 'dccp'].flatMap((name) => [`${name}.srcport`, `${name}.dstport`]),
];

/** One packet as tshark dissects it. */
interface Dissected {
  readonly layers: readonly string[];
  /** All occurrences of a field. */
  of(field: string): readonly string[];
}

const isIp = (layer: string): boolean => layer === 'ip' || layer === 'ipv6';
const count = (layers: readonly string[], ...names: readonly string[]): number =>
  layers.filter((layer) => names.includes(layer)).length;

/** Why a packet cannot be compared. */
const leftOut: readonly (readonly [string, (packet: Dissected) => boolean])[] = [
  [
    'a length of 0 is left to segmentation: tshark looks no further',
    ({ of }) => ['ip.len', 'ipv6.plen', 'udp.length'].some((field) => of(field).includes('0')),
  ],
  [
    'tshark found an IP header that is not whole, or not of the version announced',
    ({ layers, of }) => ['ip', 'ipv6'].some((ip) => of(`${ip}.dst`).length < count(layers, ip)),
  ],
  ['more labels than are followed', ({ of }) => of('mpls.label').length > 16],
  [
    'more extension headers than are followed',
    ({ layers }) => layers.filter((layer) => layer.startsWith('ipv6.')).length > 32,
  ],
  ['tshark stopped within extension headers', ({ layers }) => layers.at(-1)?.startsWith('ipv6.') ?? false],
  ['tshark does not guess what MPLS carries', ({ layers }) => layers.join(':').endsWith(':mpls:data')],
];

/** The innermost headers by tshark's dissection, in the words of {@link Found}. */
function innermost({ layers, of }: Dissected): string {
  const last = layers.findLastIndex(isIp);
  const ip = layers[last];
  if (ip === undefined) return '';
  const addresses = ['src', 'dst'].map((end) => address(of(`${ip}.${end}`)[count(layers, ip) - 1] ?? ''));
  const upper = layers.findIndex((layer, i) => i > last && transports.has(layer));
  const transport = transports.get(layers[upper] ?? '');
  const sharing = [...transports.keys()].filter((layer) => transports.get(layer) === transport);
  const nth = count(layers.slice(0, upper + 1), ...sharing);
  const ports = ['srcport', 'dstport'].map((end) => of(`${transport}.${end}`)[nth - 1] ?? '0');
  return [ip === 'ip' ? '4' : '6', ...addresses, ...ports].join(' ');
}

/** A line of tshark's as a packet, up to the first layer that ends what is seen through. */
function dissected(cells: readonly string[][]): Dissected {
  const layers = cells[0]?.[0]?.split(':') ?? [];
  const end = layers.findIndex((layer) => notSeenThrough.has(layer));
  return {
    layers: end < 0 ? layers : layers.slice(0, end),
    of: (field) => {
      assert.ok(fields.includes(field) || field.startsWith('undefined.'));
      return cells[fields.indexOf(field)] ?? [];
    },
  };
}

/** Every packet of the corpus that is of a link type, with where it stands. */
function corpusPackets(linkType: number): { packet: Packet; where: string }[] {
  return corpusManifest().flatMap(({ path, linkTypes }) => {
    if (linkTypes !== String(linkType)) return [];
    try {
      return readCapture(corpusCapture(path)).packets.map((packet, i) => ({ packet, where: `${path} ${i + 1}` }));
    } catch {
      return []; // Not a whole capture, or one in another format.
    }
  });
}

/** The corpus' packets of a link type, which folder/look.pcap holds then, and what the program found in them. */
function lookAtCorpus(program: string, folder: string, linkType: number) {
  const packets = corpusPackets(linkType);
  const found = look(
    program,
    folder,
    packets.map(({ packet }) => packet),
    linkType,
  );
  return { packets, found };
}

test('the innermost addresses and ports are those that tshark finds', { skip }, (t) => {
  const program = buildProgram(t);
  const folder = makeFolder(t);
  const disagreements: string[] = [];
  const agreed = new Map<number, number>();
  const out = new Map<string, number>();
  for (const linkType of linkTypes) {
    const { packets, found } = lookAtCorpus(program, folder, linkType);
    const lines = dissect(
      join(folder, 'look.pcap'),
      fields,
      ...['ip', 'ipv6'].flatMap((ip) => ['-o', `${ip}.defragment:FALSE`]),
    );
    assert.equal(lines.length, packets.length);
    assert.equal(found.length, packets.length);
    found.forEach((ours, i) => {
      const theirs = dissected(lines[i] ?? []);
      const rule = leftOut.find(([, applies]) => applies(theirs))?.[0];
      if (rule !== undefined) out.set(rule, (out.get(rule) ?? 0) + 1);
      else if (innermost(theirs) === ours.headers) agreed.set(ours.depth, (agreed.get(ours.depth) ?? 0) + 1);
      else disagreements.push(`${packets[i]?.where}: ${ours.headers}; tshark ${innermost(theirs)} ${lines[i]?.[0]}`);
    });
  }
  t.diagnostic(`agreed, by depth ${JSON.stringify([...agreed])}; left out ${JSON.stringify([...out])}`);
  assert.deepEqual(disagreements, []);
  assert.ok((agreed.get(0) ?? 0) > 20_000 && (agreed.get(1) ?? 0) > 500 && (agreed.get(2) ?? 0) > 300);
  assert.ok([...out.values()].reduce((sum, packets) => sum + packets, 0) < 300);
});

test('all fragments of a datagram that tshark reassembles have one hash, that of their first one', { skip }, (t) => {
  const program = buildProgram(t);
  const folder = makeFolder(t);
  const parted: string[] = [];
  let datagrams = 0;
  for (const linkType of linkTypes) {
    const { packets, found } = lookAtCorpus(program, folder, linkType);
    for (const lists of dissect(join(folder, 'look.pcap'), ['ip.fragment', 'ipv6.fragment'])) {
      for (const list of lists.filter((frames) => frames.length > 0)) {
        // By their place in the datagram. tshark waits for ever; the table gives up as Linux does.
        const frames = list.map((frame) => Number(frame) - 1);
        const timeOf = (frame: number): bigint => packets[frame]?.packet.timestampNs ?? 0n;
        const start = timeOf(Math.min(...frames));
        const group = frames.filter((frame) => timeOf(frame) - start <= 30_000_000_000n).map((frame) => found[frame]);
        const hashes = new Set([group[0]?.hash, ...group.map((fragment) => fragment?.keptInner)]);
        const outerHashes = new Set(group.map((fragment) => fragment?.keptOuter));
        datagrams++;
        if (hashes.size !== 1 || outerHashes.size !== 1)
          parted.push(`${packets[frames[0] ?? 0]?.where}: ${[...hashes]}; by outer headers ${[...outerHashes]}`);
      }
    }
  }
  t.diagnostic(`${datagrams} datagrams`);
  assert.deepEqual(parted, []);
  assert.ok(datagrams > 100);
});
