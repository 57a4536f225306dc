// Counts the names that are asked for in DNS over UDP, and prints the ten most wanted at the end.
//   bricks-script --from 'eth3}0' bricks/script/examples/dns_count.ts
import type { ScriptBatch } from 'packet-bricks';

const counts = new Map<string, number>();

/** The name of a query's first question (RFC 1035, section 4.1): its labels stand behind 12 bytes. */
function question(dns: Buffer): string | undefined {
  let name = '';
  let at = 12;
  for (let length = dns[at]; length !== undefined && length > 0; length = dns[at]) {
    name += `${dns.toString('latin1', at + 1, at + 1 + length)}.`;
    at += 1 + length;
  }
  return at + 5 <= dns.length ? name.toLowerCase() || '.' : undefined;
}

export default function (batch: ScriptBatch): void {
  for (const packet of batch) {
    if (packet.destinationPort !== 53 || packet.protocol !== 17) continue;
    const name = question(Buffer.from(packet.payload ?? []));
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
}

export function finish(): void {
  const names = [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  for (const [name, count] of names.slice(0, 10)) console.log(`${count}\t${name}`);
}
