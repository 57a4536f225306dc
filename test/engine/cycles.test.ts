// Start, stop, delete and start again, a thousand times, for the drivers that have no bed of the conformance suite.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCycles, thousandStarts } from '../support/conformance/cycles.ts';
import { startEngines } from '../support/engine_process.ts';
import { makeFolder } from '../support/files.ts';

for (const { driver, inputs, outputs } of [
  { driver: 'null', inputs: ['null:?frames=60'], outputs: ['null:first', 'null:second'] },
  { driver: 'pipe', inputs: ['in}0', 'in}1'], outputs: ['out{0', 'out{1'] },
]) {
  test(`${driver}: a thousand times started, stopped, deleted and started again: nothing is left`, async (t) => {
    const host = startEngines(t, { runtimeFolder: makeFolder(t) }, []);
    assert.equal(await host.started(), undefined);
    await checkCycles(host, { name: 'e', links: [{ brick: { type: 'Duplicator', inputs, outputs } }] }, thousandStarts);
    await host.quit();
  });
}
