// The control plane's picture of the data plane cannot drift: it is generated from the C header.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { abi } from '../../engine/abi.ts';
import { nativeBricks } from '../../engine/drivers.ts';
import { bricks, drivers } from '../../index.ts';
import { generateAbi, readHeader } from '../../native/generate_abi.ts';
import { projectFolder } from '../support/programs.ts';

test('engine/abi.ts is what native/include/packet_bricks.h generates', () => {
  assert.equal(readFileSync(join(projectFolder, 'engine/abi.ts'), 'utf8'), generateAbi(readHeader()));
});

test('every limit of the header is in the ABI', () => {
  const names = [...readHeader().matchAll(/^#define PB_(\w+) +\d+/gm)].map(([, name = '']) =>
    name.replaceAll('_', '').toLowerCase(),
  );
  const have = Object.keys(abi).map((name) => name.toLowerCase());
  assert.ok(names.length > 20);
  assert.deepEqual(
    names.filter((name) => !have.includes(name)),
    [],
  );
});

test('every function of the control part is in the ABI, and has as many parameters', async () => {
  const { abiFunctions } = await import('../../engine/abi.ts');
  const header = readHeader();
  const control = header.slice(header.indexOf('control ABI'), header.indexOf('- pipe reader'));
  const declared = [...control.matchAll(/PB_API[^;(]*?(pb_\w+)\(([^)]*)\)/g)];
  assert.ok(declared.length > 10);
  for (const [, name = '', list = ''] of declared) {
    const found = Object.entries(abiFunctions).find(([key]) => key === name);
    assert.ok(found !== undefined, name);
    assert.equal(found[1].parameters.length, list.trim() === 'void' ? 0 : list.split(',').length, name);
  }
  assert.equal(Object.keys(abiFunctions).length, declared.length);
});

test('limits are those the design promises', () => {
  assert.ok(abi.outputsMax >= 256, 'at least 256 outputs per brick');
  assert.ok(abi.pipesMax >= 1024, 'and 1024 pipes');
  assert.ok(abi.frameBytesLiveMax >= 65535, 'frames up to 65535 bytes are carried whole');
  assert.equal(abi.bufferSlotBytes, 2048, 'slots of 2048 bytes');
});

test('each brick of TypeScript has its C side and the other way round; the packed options fit', () => {
  assert.deepEqual([...bricks.keys()].sort(), nativeBricks.map(({ name }) => name).sort());
  for (const native of nativeBricks) {
    const descriptor = bricks.get(native.name);
    assert.ok(descriptor !== undefined);
    const defaults = Object.fromEntries(
      Object.entries(descriptor.options).flatMap(([key, { default: value }]) =>
        value === undefined ? [] : [[key, value]],
      ),
    );
    assert.equal(descriptor.pack(defaults).byteLength, native.configBytes, native.name);
  }
});

test('drivers say what their names are of', () => {
  const names: Readonly<Record<string, string>> = {
    dpdk: 'device',
    inject: 'pipe',
    memif: 'device',
    netmap: 'interface',
    null: 'nothing',
    packet: 'interface',
    pcap: 'file',
    pipe: 'pipe',
    tap: 'new interface',
    veth: 'new interface',
    xdp: 'interface',
  };
  for (const driver of drivers) {
    assert.equal(driver.names, names[driver.name], driver.name);
    assert.equal(driver.pipes, driver.name === 'netmap', driver.name);
  }
});

test('drivers describe themselves: text, options, counters', () => {
  for (const name of ['packet', 'pcap', 'veth', 'tap', 'null', 'pipe'])
    assert.ok(
      drivers.some((driver) => driver.name === name),
      name,
    );
  for (const driver of drivers) {
    assert.ok(driver.text.length > 5 && (driver.input || driver.output), driver.name);
    for (const [option, schema] of Object.entries(driver.options))
      assert.ok(schema.text.length > 5, `${driver.name}?${option}`);
    for (const counter of driver.counters)
      assert.ok(counter.text.length > 3 && /^[a-z_]+$/.test(counter.name), `${driver.name}: ${counter.name}`);
  }
});
