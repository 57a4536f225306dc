// Options of bricks and ports: declared once, checked strictly, defaults filled in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BricksError } from '../../engine/errors.ts';
import { checkOptions, type OptionSchemas, type OptionValue } from '../../engine/options.ts';

const schemas: OptionSchemas = {
  tuple: { type: 'integer', default: 4, values: [2, 4], text: 'two or four' },
  size: { type: 'integer', default: 10, min: 1, max: 100, unit: 'bytes', text: 'a size' },
  pace: { type: 'number', default: 0, min: 0, max: 1000, text: 'a pace' },
  name: { type: 'string', text: 'a name' },
  wait: { type: 'boolean', default: false, text: 'a switch' },
  shares: { type: 'list', min: 0, max: 10, text: 'some numbers' },
};
const check = (given: Record<string, OptionValue>): ReturnType<typeof checkOptions> =>
  checkOptions('brick "X"', schemas, given);

test('defaults are filled in; an option without one stays away', () => {
  assert.deepEqual(check({}), { tuple: 4, size: 10, pace: 0, wait: false });
});

test('values are taken in their own type and as text', () => {
  assert.deepEqual(check({ tuple: '2', size: '100', pace: '0.5', name: 'n', wait: '1' }), {
    tuple: 2,
    size: 100,
    pace: 0.5,
    name: 'n',
    wait: true,
  });
  for (const yes of [true, 1, '1', 'true']) assert.equal(check({ wait: yes }).wait, true);
  for (const no of [false, 0, '0', 'false']) assert.equal(check({ wait: no }).wait, false);
  assert.equal(check({ size: 1 }).size, 1);
  for (const list of [[1, 2.5, 0], '1,2.5,0', ' 1, 2.5 ,0'])
    assert.deepEqual(check({ shares: list }).shares, [1, 2.5, 0]);
  assert.deepEqual(check({ shares: '7' }).shares, [7]);
});

test('values that do not fit are refused, with the allowed ones', () => {
  const bad: readonly (readonly [string, OptionValue, RegExp])[] = [
    ['tuple', 3, /2 or 4/],
    ['tuple', '', /2 or 4/],
    ['tuple', 2.5, /2 or 4/],
    ['size', 0, /1 to 100/],
    ['size', 101, /1 to 100/],
    ['size', 1.5, /whole number/],
    ['size', 'ten', /whole number/],
    ['size', ' ', /whole number/],
    ['size', Number.NaN, /whole number/],
    ['size', true, /whole number/],
    ['pace', -1, /0 to 1000/],
    ['pace', Number.POSITIVE_INFINITY, /0 to 1000/],
    ['name', 5, /string/],
    ['wait', 2, /0 or 1/],
    ['wait', 'yes', /0 or 1/],
    ['wait', '', /0 or 1/],
    ['size', [1], /whole number/],
    ['name', [1], /string/],
    ['shares', [], /list of numbers from 0 to 10/],
    ['shares', '', /list of numbers from 0 to 10/],
    ['shares', '1,,2', /list of numbers from 0 to 10/],
    ['shares', [1, 11], /list of numbers from 0 to 10/],
    ['shares', [1, -1], /list of numbers from 0 to 10/],
    ['shares', [1, Number.NaN], /list of numbers from 0 to 10/],
    ['shares', 1, /list of numbers from 0 to 10/],
    ['shares', true, /list of numbers from 0 to 10/],
  ];
  for (const [option, value, allowed] of bad) {
    assert.throws(
      () => check({ [option]: value }),
      (error: unknown) => {
        assert.ok(error instanceof BricksError);
        assert.equal(error.code, 'OPTION_INVALID', `${option}=${value}`);
        assert.match(error.message, allowed);
        assert.ok(error.message.startsWith(`brick "X": option "${option}" is `), error.message);
        assert.doesNotMatch(error.message, /\n|\{/);
        return true;
      },
      `${option}=${value}`,
    );
  }
});

test('unknown options are refused, with those there are', () => {
  for (const option of ['tupel', 'Tuple', '', 'constructor', 'toString']) {
    assert.throws(
      () => check({ [option]: 1 }),
      { code: 'OPTION_UNKNOWN', message: /brick "X": no option .*have: tuple, size, pace, name, wait, shares/ },
      option,
    );
  }
  assert.throws(() => checkOptions('x', {}, { a: 1 }), { message: /have: none/ });
});
