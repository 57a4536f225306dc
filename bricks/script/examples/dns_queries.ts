// Counts the names that are asked for in DNS over UDP, and prints the ten most wanted at the end.
//   bricks-script --from 'eth3}0' bricks/script/examples/dns_queries.ts
import type { ScriptBatch, ScriptPacket } from 'packet-bricks';

const counts = new Map<string, number>();

/** The name of the first question (RFC 1035, 4.1): its labels are behind 8 bytes of UDP and 12 of DNS. */
function question(packet: ScriptPacket): string | undefined {
  const dns = Buffer.from(packet.data).subarray(packet.l4Offset + 8);
  const labels: string[] = [];
  let at = 12;
  for (let length = dns[at]; length !== undefined && length > 0; length = dns[at]) {
    labels.push(dns.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return at + 5 <= dns.length ? labels.join('.').toLowerCase() || '.' : undefined;
}

export default function (batch: ScriptBatch): void {
  for (const packet of batch) {
    if (packet.destinationPort !== 53 || packet.protocol !== 17) continue;
    const name = question(packet);
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}

export function finish(): void {
  const names = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  for (const [name, count] of names.slice(0, 10)) console.log(`${count}\t${name}`);
}
