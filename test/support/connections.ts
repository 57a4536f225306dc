// Which packets belong together, as tshark says: the oracle of flow affinity.
import assert from 'node:assert/strict';
import { type Packet, packetText } from './capture.ts';
import { run } from './programs.ts';

const addressFields = ['ip.src', 'ip.dst', 'ipv6.src', 'ipv6.dst'];
const fragmentFields = ['ip.flags.mf', 'ip.frag_offset', 'ipv6.fraghdr.more', 'ipv6.fraghdr.offset'];

/** For each frame of a capture, in order, the name of its connection; undefined where tshark knows none. */
export function connectionsOf(file: string): (string | undefined)[] {
  const fields = [
    'frame.protocols',
    'tcp.stream',
    'udp.stream',
    'sctp.assoc_index',
    ...addressFields,
    ...fragmentFields,
  ].flatMap((field) => ['-e', field]);
  const text = run('tshark', [
    '-n',
    '-o',
    'ip.defragment:FALSE',
    '-o',
    'ipv6.defragment:FALSE',
    '-r',
    file,
    '-T',
    'fields',
    ...fields,
  ]);
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [layers = '', tcp = '', udp = '', sctp = '', ...rest] = line.split('\t');
      // An ICMP error quotes a packet of another connection; a tunnel's inner connection is not what is balanced.
      const ipLayers = layers.split(':').filter((layer) => layer === 'ip' || layer === 'ipv6').length;
      if (ipLayers !== 1 || /icmp|cfp|gre|vxlan|geneve|gtp|mpls|pppoe|teredo|l2tp/.test(layers)) return undefined;
      // Only a datagram's first fragment has ports, so fragments stay with each other rather than with their connection.
      if (rest.slice(addressFields.length).some((value) => value === 'True' || Number(value) > 0)) return undefined;
      // 65535: tshark has not seen the association begin.
      if (sctp === '65535') return undefined;
      // One SCTP association may span several pairs of addresses.
      const hosts = rest.slice(0, addressFields.length).sort().join(' ').trim();
      for (const [kind, index] of Object.entries({ tcp, udp, sctp }))
        if (/^\d+$/.test(index)) return `${kind} ${index} ${hosts}`;
      return undefined;
    });
}

/** Asserts that no connection has packets in two outputs; `key` finds a sent packet again. Returns how many there are. */
export function assertAffinity(
  sent: readonly Packet[],
  connections: readonly (string | undefined)[],
  outputs: readonly (readonly Packet[])[],
  what: string,
  key: (packet: Packet) => string = packetText,
): number {
  assert.equal(connections.length, sent.length, `${what}: tshark sees every packet`);
  const outputsOf = new Map<string, Set<number>>();
  outputs.forEach((packets, output) => {
    for (const packet of packets) {
      const text = key(packet);
      outputsOf.set(text, (outputsOf.get(text) ?? new Set()).add(output));
    }
  });
  const byConnection = new Map<string, Set<number>>();
  sent.forEach((packet, i) => {
    const connection = connections[i];
    if (connection === undefined) return;
    const where = byConnection.get(connection) ?? new Set();
    for (const output of outputsOf.get(key(packet)) ?? []) where.add(output);
    byConnection.set(connection, where);
  });
  const parted = [...byConnection]
    .filter(([, where]) => where.size > 1)
    .map(([name, where]) => `${name}: ${[...where]}`);
  assert.deepEqual(parted, [], `${what}: connections in more than one output`);
  return byConnection.size;
}
