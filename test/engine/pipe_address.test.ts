// Addresses as text, against Node's own: the host of a URL is written as RFC 5952 wants it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipv4Text, ipv6Text } from '../../engine/pipe/address_text.ts';

/** What WHATWG's URL makes of eight groups. */
function urlText(groups: readonly number[]): string {
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname.slice(1, -1);
}

test('IPv6 addresses with zeros in every place are written as a URL has them', () => {
  for (let zeros = 0; zeros < 256; zeros++) {
    const groups = Array.from({ length: 8 }, (_, i) => ((zeros >> i) & 1 ? 0 : 0x1000 + i));
    const bytes = Uint8Array.from([9, ...groups.flatMap((group) => [group >> 8, group & 255])]);
    assert.equal(ipv6Text(bytes, 1), urlText(groups));
  }
});

test('IPv4 addresses', () => {
  assert.equal(ipv4Text(Uint8Array.from([1, 255, 0, 10, 7]), 1), '255.0.10.7');
});
