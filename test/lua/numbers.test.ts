// Numbers are doubles as in Lua 5.1, exact to 2^53, and print so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { numberText } from '../../lua/number_text.ts';
import { failLua, runLua } from '../support/lua_run.ts';

test('numberText writes whole numbers exactly to 2^53 and everything else as %.14g', () => {
  const cases: [number, string][] = [
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [2 ** 31, '2147483648'],
    [2 ** 40, '1099511627776'],
    [2 ** 53, '9007199254740992'],
    [-(2 ** 53), '-9007199254740992'],
    [2 ** 54, '1.8014398509482e+16'],
    [0.1, '0.1'],
    [1 / 3, '0.33333333333333'],
    [100.5, '100.5'],
    [1e-5, '1e-05'],
    [1e100, '1e+100'],
    [1e20, '1e+20'],
    [123456.789e3, '123456789'],
    [Number.POSITIVE_INFINITY, 'inf'],
    [Number.NEGATIVE_INFINITY, '-inf'],
    [Number.NaN, 'nan'],
  ];
  for (const [n, text] of cases) assert.equal(numberText(n), text);
});

test('arithmetic does not wrap at 32 bits', async () => {
  const text = await runLua(`
    print(2147483647 + 1, 65536 * 65536, 10 * 1000 * 1000 * 1000)
    print(0xffffffff, 0x1FFFFFFFFFFFFF, 9007199254740991, -2147483648 - 1)
    print(#"abc" * 1000000000, math.floor(3000000000.7), tonumber("4294967296") + 1, tonumber("0xffffffff"))
    print(7 / 2, 6 / 2, 7 // 2, 7 % 3, 2 ^ 53, 1 // 0, -7 % 3)
    local sum = 0 for i = 1, 10 do sum = sum + i * 1e9 end print(sum)
    print(string.rep("x", 3), ("abc"):sub(2, 3), ({10, 20, 30})[2], #{1, 2, 3}, select("#", 1, 2))
    print(1 .. "", tostring(1e15), 5 == 5.0, 1 << 4, 5 & 4, 1 | 6, ~0)
  `);
  assert.equal(
    text,
    [
      '2147483648\t4294967296\t10000000000',
      '4294967295\t9007199254740991\t9007199254740991\t-2147483649',
      '3000000000\t3000000000\t4294967297\t4294967295',
      '3.5\t3\t3\t1\t9007199254740992\tinf\t2',
      '55000000000',
      'xxx\tbc\t20\t3\t2',
      '1\t1000000000000000\ttrue\t16\t4\t7\t-1',
      '',
    ].join('\n'),
  );
});

test('tables, loops and libraries take the numbers', async () => {
  const text = await runLua(`
    local t = {} for i = 1, 3 do t[#t + 1] = i * i end
    print(table.concat(t, ","), t[2], t[2.0], next({ [1] = "a" }))
    for i, v in ipairs(t) do io.write(i, "=", v, " ") end print()
    for i = 3, 1, -1 do io.write(i, " ") end for i = 0, 1, 0.5 do io.write(i, " ") end print()
    table.sort(t, function(a, b) return a > b end) print(table.concat(t, ","))
    table.insert(t, 1, "x") table.remove(t, 2) print(table.concat(t, ","))
    print(("hello"):byte(1), ("a,b"):find(",", 1, true), math.max(1, 2.5), math.abs(-3), string.char(72, 105))
    print(os.time({ year = 2024, month = 1, day = 2, hour = 3 }) > 1e9, os.date("%Y", 86400 * 365), math.random(5, 5))
    local same = {} same[1] = "int" same[1.0] = "float" print(same[1]) print(#"x" + 0.5, 3 % -2, 5.5 % 2)
  `);
  assert.equal(
    text,
    [
      '1,4,9\t4\t4\t1\ta',
      '1=1 2=4 3=9 ',
      '3 2 1 0 0.5 1 ',
      '9,4,1',
      'x,4,1',
      '104\t2\t2.5\t3\tHi',
      'true\t1971\t5',
      'float',
      '1.5\t-1\t1.5',
      '',
    ].join('\n'),
  );
});

test('string.format takes numbers beyond 32 bits', async () => {
  const text = await runLua(`
    print(string.format("%d %i %u|%x %X %o", 2^53, -2^40, 2^40, 2^40 + 10, 0xdeadbeefcafe, 8))
    print(string.format("%10d|%-10d|%010d|%+d|% d|%5.3d|%#x", 42, 42, -42, 42, 42, 7, 255))
    print(string.format("%5.2f|%e|%E|%g|%g|%g|%.3g", 3.14159, 12345.678, 0.00012, 1e20, 0.0001, 100000, 2/3))
    print(string.format("%d%%, %s, %q, %5s|%-5s|%c|%.2s", 1.9, "s", 'a"b', "r", "l", 65, "cut"))
    print(string.format("%s %s %s", 1, 2^40, {} ~= nil), ("%d"):format("12"), string.format("%x", -1))
  `);
  assert.equal(
    text,
    [
      '9007199254740992 -1099511627776 1099511627776|1000000000a DEADBEEFCAFE 10',
      '        42|42        |-000000042|+42| 42|  007|0xff',
      ' 3.14|1.234568e+04|1.200000E-04|1e+20|0.0001|100000|0.667',
      '1%, s, "a\\"b",     r|l    |A|cu',
      '1 1099511627776 true\t12\tffffffffffffffff',
      '',
    ].join('\n'),
  );
});

test('string.format names what is wrong', async () => {
  const text = await runLua(`
    print(pcall(string.format, "%d", 0/0)) print(pcall(string.format, "%d", "x")) print(pcall(string.format, "%d"))
  `);
  assert.match(text, /argument 2 must be a whole number for %d, got NaN/);
  assert.match(text, /number expected, got string/);
  assert.match(text, /number expected, got no value/);
});

test('a width or a precision has two digits at most', async () => {
  for (const format of ['%999999999d', '%.100f', '%100s', '%-100x']) {
    assert.match(
      await failLua(`string.format("${format}", 1)`),
      /^test.lua:1: invalid format \(width or precision too long\)$/,
      format,
    );
  }
  assert.equal(await runLua('print(#string.format("%99d", 1), string.format("%.99f", 0):len())'), '99\t101\n');
});
