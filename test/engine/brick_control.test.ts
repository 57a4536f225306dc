// Control objects of bricks: those of bricks that nobody can reach any more make room for others, at once where it is needed.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { abi } from '../../engine/abi.ts';
import { Brick } from '../../index.ts';

test('as many bricks as there may be, forgotten, make room for the next', async () => {
  // More than twice as many: what was freed can be used up and freed again.
  for (let made = 0; made < 2 * abi.controlsMax + 2; made++) {
    new Brick('Filter');
    if (made % 100 === 0) await nextTurn();
  }
});

test('bricks that are still held keep theirs; the one too many is told what helps, and is made once some are let go', async () => {
  let held: Brick[] = [];
  await nextTurn();
  const makeAll = () => {
    while (held.length <= abi.controlsMax) held.push(new Brick('Filter'));
  };
  assert.throws(makeAll, {
    code: 'EMFILE',
    message: `brick "Filter": there are ${abi.controlsMax} bricks like this already; forget some, and delete their engines`,
  });
  assert.equal(held.length, abi.controlsMax);
  for (const brick of held) assert.deepEqual(brick.call('rules'), []);
  held = held.slice(0, 10);
  await nextTurn();
  held.push(new Brick('Filter'));
  for (const brick of held) assert.deepEqual(brick.call('rules'), []);
});
