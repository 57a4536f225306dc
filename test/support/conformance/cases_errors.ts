// Conformance cases: ports that cannot be opened. One line that names the port and the remedy.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { startEngines } from '../engine_process.ts';
import { makeFolder } from '../files.ts';
import { skipWithout } from '../programs.ts';
import { skipUnreadable } from '../users.ts';
import type { Case, Graph, Suite } from './suite.ts';

const through: Graph = { brick: 'Dummy', from: [0], to: [1] };

function assertErrorText(text: string, label: string, role: string): void {
  assert.ok(!text.includes('\n'), `one line: ${text}`);
  assert.ok(text.startsWith(`port "${label}": cannot open for ${role}: `), `names ${label} and ${role}: ${text}`);
  assert.match(text, /; ./, `says what to do: ${text}`);
  assert.doesNotMatch(text, /errno|-\d+$|undefined|null\b/, `in words: ${text}`);
}

async function missing(suite: Suite): Promise<void> {
  const { port, code } = suite.bed.missing;
  const host = await suite.host();
  for (const role of ['input', 'output'] as const) {
    const side = role === 'input' ? { inputs: [port], outputs: ['null:'] } : { inputs: ['null:'], outputs: [port] };
    const failure = await host.make({ name: 'missing', links: [{ brick: { type: 'Dummy', ...side } }] });
    assert.ok(failure !== undefined, `${port} cannot be opened`);
    assertErrorText(failure.error, port.replace(/\?.*/, ''), role);
    assert.match(failure.code, code, failure.error);
  }
}

async function refused(suite: Suite, t: TestContext): Promise<void> {
  const { bed, place } = suite;
  const runtimeFolder = makeFolder(t);
  const as = [
    'setpriv',
    '--reuid=64003',
    '--regid=64003',
    '--clear-groups',
    '--inh-caps=-all',
    'env',
    `HOME=${runtimeFolder}`,
  ];
  if (bed.peersFirst) await place.attach([0, 1]);
  for (const role of ['input', 'output'] as const) {
    const brick = {
      type: 'Dummy',
      inputs: role === 'input' ? [place.port(0, role)] : ['null:'],
      outputs: role === 'input' ? ['null:'] : [place.port(1, role)],
    };
    const engines = startEngines(t, { ...place.engines, runtimeFolder, as }, [{ name: 'e0', links: [{ brick }] }]);
    const failure = await engines.started();
    assert.ok(failure !== undefined, `${brick.inputs} to ${brick.outputs} needs rights`);
    assertErrorText(failure.error, suite.label(role === 'input' ? 0 : 1, role), role);
    assert.match(failure.code, bed.refusal ?? /^$/, failure.error);
    await engines.quit();
  }
  await place.detach([0, 1]);
}

async function taken(suite: Suite, t: TestContext): Promise<void> {
  const { bed, place } = suite;
  await suite.run(through, async (run) => {
    await run.settle(0, [1]);
    const role = bed.exclusive ?? 'input';
    const wire = role === 'input' ? 0 : 1;
    const brick = {
      type: 'Dummy',
      inputs: role === 'input' ? [place.port(wire, role)] : ['null:'],
      outputs: role === 'input' ? ['null:'] : [place.port(wire, role)],
    };
    const engines = startEngines(t, place.engines, [{ name: 'second', links: [{ brick }] }]);
    const failure = await engines.started();
    assert.ok(failure !== undefined, `${place.port(wire, role)} is taken`);
    assertErrorText(failure.error, suite.label(wire, role), role);
    assert.equal(failure.code, 'EBUSY', failure.error);
    await engines.quit();
    await run.settle(0, [1]);
  });
}

export const errorCases: readonly Case[] = [
  { name: 'what is not there', run: missing },
  {
    name: 'no permission',
    skip: (bed) => {
      if (bed.refusal === undefined) return 'every user may';
      return process.getuid?.() === 0 ? skipWithout('setpriv') || skipUnreadable() : 'needs root: another user';
    },
    run: refused,
  },
  {
    name: 'taken by another process',
    skip: (bed) => (bed.exclusive === undefined ? 'several processes may have it' : false),
    run: taken,
  },
];
