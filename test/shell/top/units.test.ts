// Numbers, names and small drawings of the dashboard.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asciiGlyphs, bar, isUtf8Locale, sparkline, unicodeGlyphs } from '../../../shell/top/glyphs.ts';
import { fit, lineText, lineWidth, printable, shorten, span, width } from '../../../shell/top/text.ts';
import { bitRate, count, duration, packetRate, percent, seconds } from '../../../shell/top/units.ts';

test('rates have three digits that count, and a unit', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '0 pps'],
    [0.01, '<1 pps'],
    [0.5, '1 pps'],
    [12.4, '12 pps'],
    [999, '999 pps'],
    [999.4, '999 pps'],
    [999.5, '1.00 kpps'],
    [1000, '1.00 kpps'],
    [12_345, '12.3 kpps'],
    [99_960, '100 kpps'],
    [999_499, '999 kpps'],
    [999_500, '1.00 Mpps'],
    [1_488_095, '1.49 Mpps'],
    [148_809_523, '149 Mpps'],
  ];
  for (const [value, text] of cases) assert.equal(packetRate(value), text);
  assert.equal(bitRate(1e9), '1.00 Gbit/s');
  assert.equal(bitRate(8), '8 bit/s');
  assert.equal(bitRate(1e11), '100 Gbit/s');
});

test('no rate or count is wider than its column', () => {
  for (let exponent = 0; exponent < 17; exponent += 0.01) {
    const value = 10 ** exponent;
    assert.ok(packetRate(value).length <= 9, packetRate(value));
    assert.ok(bitRate(value).length <= 11, bitRate(value));
    assert.ok(count(Math.round(value)).length <= 7, count(Math.round(value)));
  }
});

test('counts are exact up to seven digits', () => {
  assert.deepEqual([0, 999, 9_999_999, 10_000_000, 1.234e9].map(count), ['0', '999', '9999999', '10.0 M', '1.23 G']);
});

test('0 % is empty and 100 % is full, and a bar says the same', () => {
  assert.deepEqual(
    [percent(0, 1000), percent(1, 1000), percent(500, 1000), percent(999, 1000), percent(1000, 1000), percent(5, 0)],
    ['0 %', '1 %', '50 %', '99 %', '100 %', '0 %'],
  );
  const bars = [0, 1, 500, 999, 1000, 5000].map((used) => bar(asciiGlyphs, used, 1000, 10));
  assert.deepEqual(bars, ['..........', '#.........', '#####.....', '#########.', '##########', '##########']);
});

test('times', () => {
  assert.equal(duration(9_999), '0:00:09');
  assert.equal(duration(3_723_000), '1:02:03');
  assert.equal(duration(86_400_000 * 3 + 14_706_000), '3 d 04:05:06');
  assert.equal(duration(-5), '0:00:00');
  assert.deepEqual([200, 1000, 1234].map(seconds), ['0.2 s', '1 s', '1.2 s']);
});

test('a sparkline: nothing is lowest, the most is highest, a short burst survives folding', () => {
  const draw = (values: readonly number[], columns: number, end = values.length): string =>
    sparkline(unicodeGlyphs, values, { columns, end, capacity: 8 });
  assert.equal(draw([0, 0, 0], 8), '▁▁▁');
  assert.equal(draw([0, 1, 100, 100_000], 8), '▁▂▂█');
  assert.equal(draw([0, 0, 9, 0, 0, 0, 0, 0], 4), '▁█▁▁');
  assert.equal(draw([1, 2], 0), '');
  assert.equal(draw([], 8), '');
});

test('a folded sparkline only moves on as time goes: its groups keep their values', () => {
  const values = Array.from({ length: 40 }, (_, i) => (i % 7 === 0 ? 100 : 0));
  const at = (end: number): string =>
    sparkline(asciiGlyphs, values.slice(Math.max(0, end - 16), end), { columns: 4, end, capacity: 16 });
  // A group of four is complete at 20 and at 24: between them only the last character may change.
  for (const end of [21, 22, 23]) assert.equal(at(end).slice(0, -1), at(20).slice(-3));
});

test('names that could harm a terminal are escaped, all others stay', () => {
  assert.equal(printable('eth3}0 {red-fg}', false), 'eth3}0 {red-fg}');
  assert.equal(printable('a\u001b[2Jb\u0007\n\u0085\u007f', false), 'a\\u{1b}[2Jb\\u{7}\\u{a}\\u{85}\\u{7f}');
  assert.equal(printable('/data/捕获-été-Ω-Ж.pcap', false), '/data/捕获-été-Ω-Ж.pcap');
  assert.equal(printable('e\u0301', false), 'é', 'composed');
  // Right-to-left override, zero width space, an emoji of disputed width, half a surrogate pair, a combining mark.
  assert.equal(printable('\u202e\u200b\u{1f600}\ud83d\u0336', false), '\\u{202e}\\u{200b}\\u{1f600}\\u{d83d}\\u{336}');
  assert.equal(printable('été', true), '\\u{e9}t\\u{e9}');
});

test('widths, cuts and fills count columns of the terminal', () => {
  assert.equal(width('ab捕获'), 6);
  assert.equal(shorten('pcap:/data/captures/long.pcap', 12, '…'), 'pcap:…g.pcap');
  assert.equal(shorten('short', 12, '…'), 'short');
  for (let columns = 0; columns < 12; columns++) {
    assert.ok(width(shorten('捕获捕获捕获', columns, '…')) <= columns);
    assert.equal(lineWidth(fit([span('捕a'), span('获', 'bad')], columns)), columns);
  }
  assert.equal(lineText(fit([span('捕获')], 3)), '捕 ', 'half a character is not shown');
});

test('the locale decides about UTF-8 as locale(7) says', () => {
  assert.equal(isUtf8Locale({ LANG: 'C.UTF-8' }), true);
  assert.equal(isUtf8Locale({ LANG: 'de_DE.utf8' }), true);
  assert.equal(isUtf8Locale({ LANG: 'C.UTF-8', LC_ALL: 'C' }), false);
  assert.equal(isUtf8Locale({ LANG: 'C', LC_ALL: '', LC_CTYPE: 'C.UTF-8' }), true);
  assert.equal(isUtf8Locale({}), false);
});
