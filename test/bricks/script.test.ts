// Scripts that packets visit, in Lua and in TypeScript: what they see, what becomes of their verdicts, how they fail.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Brick, PktEngine } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import { assertSamePackets, type Packet, readCapture, timed, writeCapture } from '../support/capture.ts';
import { engineName } from '../support/engines.ts';
import { corpusCapture, makeFolder, skipCorpus } from '../support/files.ts';
import { buildPacket, type Flow } from '../support/packets.ts';
import { startPassing, usePipeFolder } from '../support/pipes.ts';
import { nodeArguments, type Program, run, skipWithout, start, until } from '../support/programs.ts';

usePipeFolder();

/** Starts bricks-script, as a user would. */
function startScript(t: TestContext, ...args: readonly string[]): Program {
  const line = [...nodeArguments('shell/bricks_script.ts'), ...args];
  return start(t, process.execPath, line, { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Writes a script; returns its path. */
function scriptFile(t: TestContext, name: string, text: string): string {
  const file = join(makeFolder(t), name);
  writeFileSync(file, text);
  return file;
}

let pipes = 0;

/** Shows a capture to a script on its own; what it printed. */
async function show(t: TestContext, capture: string, ...args: readonly string[]): Promise<string> {
  const pipe = `show${pipes++}`;
  const engine = startPassing(t, `pcap:${capture}`, `${pipe}{0?wait=1`);
  const script = startScript(t, '--from', `${pipe}}0`, ...args);
  await engine.wait(30);
  engine.stop();
  assert.deepEqual(await script.ended(), { code: 0, signal: null }, script.output());
  return script.stdout();
}

/** A query for a name, in DNS (RFC 1035, 4.1). */
function query(name: string): Buffer {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

const dns: Flow = {
  protocol: 'udp',
  source: '10.0.0.1',
  destination: '10.0.0.53',
  sourcePort: 4000,
  destinationPort: 53,
};
const dns6: Flow = { ...dns, source: 'fd00::1', destination: 'fd00::53' };

for (const language of ['lua', 'ts']) {
  const example = `bricks/script/examples/dns_count.${language}`;

  test(`the DNS counter in ${language} counts what was asked for`, async (t) => {
    const file = join(makeFolder(t), 'dns.pcap');
    const frames = [
      ...Array.from({ length: 700 }, () => buildPacket(dns, { payload: query('www.example.org') })),
      buildPacket(dns6, { payload: query('WWW.Example.ORG'), extensions: ['hop'] }),
      buildPacket(dns, { payload: query('a.test'), vlans: [{ id: 5 }] }),
      buildPacket(dns, { payload: query('a.test') }),
      // No queries: another port, another protocol, a name that is cut, no DNS at all.
      buildPacket({ ...dns, destinationPort: 54 }, { payload: query('b.test') }),
      buildPacket({ ...dns, protocol: 'tcp' }, { payload: query('c.test') }),
      buildPacket(dns, { payload: query('d.test').subarray(0, 15) }),
      buildPacket(dns, { payload: 0 }),
    ];
    writeCapture(file, timed(frames));
    assert.equal(await show(t, file, example), '701\twww.example.org.\n2\ta.test.\n');
  });

  test(`the DNS counter in ${language} agrees with tshark`, {
    skip: skipCorpus || skipWithout('tshark'),
  }, async (t) => {
    const file = corpusCapture('ipfixprobe/dns.pcap');
    const fields = ['-T', 'fields', '-e', 'dns.qry.name'];
    const names = run('tshark', ['-r', file, '-Y', 'udp.dstport == 53 && dns.qry.name', ...fields])
      .trim()
      .split('\n');
    const counts = new Map<string, number>();
    for (const name of names) {
      const shown = name === '<Root>' ? '.' : `${name.toLowerCase()}.`;
      counts.set(shown, (counts.get(shown) ?? 0) + 1);
    }
    assert.ok(counts.size > 3 && counts.size <= 10, 'all of them are printed');
    const expected = [...counts].map(([name, count]) => `${count}\t${name}`).sort();
    assert.deepEqual((await show(t, file, example)).trim().split('\n').sort(), expected);
  });
}

/** Each script drops, keeps, sends to output 1 and replaces by the destination port's last digit. */
const verdicts = {
  'verdicts.lua': `function process(batch)
  for packet in batch:packets() do
    local kind = packet.dst_port % 4
    if kind == 1 then packet:drop()
    elseif kind == 2 then packet:output(1)
    elseif kind == 3 then packet:replace(packet:data(0, 42) .. "changed " .. packet.src_port) end
  end
end`,
  'verdicts.ts': `import type { ScriptBatch } from 'packet-bricks';
export default function (batch: ScriptBatch): void {
  for (const packet of batch) {
    const kind: number = packet.destinationPort % 4;
    if (kind === 1) packet.drop();
    else if (kind === 2) packet.output(1);
    else if (kind === 3) {
      packet.replace(Buffer.concat([packet.data.subarray(0, 42), Buffer.from('changed ' + packet.sourcePort)]));
    }
  }
}`,
  'verdicts.cjs': `module.exports = async function (batch) {
  await new Promise(setImmediate);
  for (let i = 0; i < batch.count; i++) {
    const kind = batch.destinationPort(i) % 4;
    if (kind === 1) batch.drop(i);
    else if (kind === 2) batch.output(i, 1);
    else if (kind === 3) {
      const text = Buffer.from('changed ' + batch.sourcePort(i));
      batch.replace(i, Buffer.concat([batch.data(i).subarray(0, 42), text]));
    }
  }
}`,
} as const;

for (const [name, text] of Object.entries(verdicts)) {
  test(`verdicts of ${name} reach the outputs of its brick`, async (t) => {
    const folder = makeFolder(t);
    const count = 2000;
    const packets = timed(
      Array.from({ length: count }, (_, i) =>
        buildPacket({ ...dns, sourcePort: 1000 + i, destinationPort: 4000 + (i % 4) }, { payload: i % 1400 }),
      ),
    );
    writeCapture(join(folder, 'in.pcap'), packets);
    const engine = new PktEngine(engineName());
    t.after(() => {
      if (engine.isRunning) engine.stop();
      engine.delete();
    });
    const script = new Brick('Script', { file: scriptFile(t, name, text) });
    script.connectInput(`pcap:${folder}/in.pcap`).connectOutput(`pcap:${folder}/0.pcap`, `pcap:${folder}/1.pcap`);
    engine.link(script).start();
    assert.equal(await engine.wait(30), true);
    const declined = engine.stats().ports.reduce((sum, { others }) => sum + (others.declined ?? 0), 0);
    engine.stop();
    assertAccounting(engine.stats(), engine.plan);
    const of = (kind: number): Packet[] => packets.filter((_, i) => i % 4 === kind);
    const changed = (packet: Packet, i: number): Packet => {
      const data = Buffer.concat([packet.data.subarray(0, 42), Buffer.from(`changed ${1000 + i}`)]);
      return { ...packet, data, wireLength: data.length };
    };
    const kept = packets.flatMap((packet, i) => (i % 4 === 0 ? packet : i % 4 === 3 ? changed(packet, i) : []));
    assertSamePackets(readCapture(`${folder}/0.pcap`).packets, kept, 'output 0');
    assertSamePackets(readCapture(`${folder}/1.pcap`).packets, of(2), 'output 1');
    assert.equal(declined, count / 4);
  });
}

const failures: readonly (readonly [name: string, text: string, message: RegExp])[] = [
  ['syntax.lua', 'x = 1\ny = = 2\n', /syntax\.lua:2: unexpected symbol near '='/],
  ['load.lua', 'x = 1\nerror("no luck")\n', /load\.lua:2: no luck/],
  ['nothing.lua', 'x = 1\n', /nothing\.lua: it has no global function process; write: function process/],
  [
    'field.lua',
    'function process(b)\n for p in b:packets() do\n  x = p.dport\n end\nend\n',
    /field\.lua:3: a packet has no "dport"; have: length, .*dst_port/,
  ],
  [
    'output.lua',
    'function process(b)\n for p in b:packets() do p:output(1) end\nend\n',
    /output\.lua:2: output: 1 is out of range; it must be 0 to 0/,
  ],
  [
    'offset.lua',
    'function process(b)\n for p in b:packets() do p:byte(-1) end\nend\n',
    /offset\.lua:2: packet:byte: argument 1 must be a whole number from 0/,
  ],
  [
    'gone.lua',
    'function process(b)\n for p in b:packets() do\n  if old then x = old.length end\n  old = p\n end\nend\n',
    /gone\.lua:3: packet \d+: the batch holds \d+; use packets before/,
  ],
  ['finish.lua', 'function process(b) end\nfunction finish()\n nothing()\nend\n', /finish\.lua:3: .*nothing/],
  ['syntax.ts', 'const x: number = 1;\nconst y = ;\n', /syntax\.ts:2: Expression expected/],
  ['enum.ts', '\n\nenum A { B }\n', /enum\.ts:3: .*enum is not supported/],
  ['syntax.mjs', 'const x = 1;\nconst y = ;\n', /syntax\.mjs:2: Expression expected/],
  ['load.mjs', '\nthrow new Error("no luck");\n', /load\.mjs:2: Error: no luck/],
  [
    'nothing.mts',
    'export const x: number = 1;\n',
    /nothing\.mts: it has no function as default; write: export default/,
  ],
  [
    'process.ts',
    'export default function (batch: unknown[]): void {\n  batch.map((x) => x);\n}\n',
    /process\.ts:2: TypeError: batch\.map is not a function/,
  ],
  [
    'replace.mjs',
    'export default function (batch) {\n  batch.replace(0, "text");\n}\n',
    /replace\.mjs:2: BricksError: replace: its content is no bytes; give a Uint8Array or Buffer/,
  ],
  [
    'later.mjs',
    'export default async function (batch) {\n  await null;\n  batch.output(0, 1);\n}\n',
    /later\.mjs:3: BricksError: output: 1 is out of range/,
  ],
  [
    'finish.mjs',
    'export default function () {}\nexport function finish() {\n  throw new Error("late");\n}\n',
    /finish\.mjs:3: Error: late/,
  ],
  [
    'timer.mjs',
    "setImmediate(() => {\n  throw new Error('alone');\n});\nexport default function () {}\n",
    /timer\.mjs:2: Error: alone/,
  ],
  [
    'promise.ts',
    "export default function (): void {\n  void Promise.reject(new Error('lost'));\n}\n",
    /promise\.ts:2: Error: lost/,
  ],
  ['script.txt', '', /script\.txt: its name does not say its language; name it \.lua/],
];

test('a script that fails says where, in one line, and ends with status 1', async (t) => {
  for (const [name, text, message] of failures) {
    await t.test(name, async (t) => {
      const pipe = `fail${pipes++}`;
      // More batches than one: a packet that is kept is of an earlier one.
      const engine = startPassing(t, 'null:?frames=60&packets=3000&pausable=1', `${pipe}{0?wait=1`);
      const script = startScript(t, '--from', `${pipe}}0`, scriptFile(t, name, text));
      if (name.startsWith('finish')) {
        await until('the packets to be read', () => engine.stats().txPackets === 3000);
        await engine.wait(30);
        engine.stop();
      }
      assert.deepEqual(await script.ended(), { code: 1, signal: null }, script.output());
      assert.match(script.output(), message);
      assert.match(script.output(), /^bricks-script: .*\n$/, 'one line');
    });
  }
});

test('SIGTERM ends a script in good order: finish() is called', async (t) => {
  const scripts = {
    'end.lua': 'function process(b) print(arg[1], b:count() > 0) end function finish() print("finished") end',
    'end.mjs': `export default (b) => console.log(process.argv[2] + '\\t' + (b.count > 0));
export async function finish() { await null; console.log('finished'); }`,
  };
  for (const [name, text] of Object.entries(scripts)) {
    const pipe = `end${pipes++}`;
    startPassing(t, 'null:?frames=60&packets=3&pausable=1', `${pipe}{0?wait=1`);
    const script = startScript(t, '--from', `${pipe}}0`, scriptFile(t, name, text), 'argument');
    await script.until(/argument\ttrue\n/);
    script.child.kill('SIGTERM');
    assert.deepEqual(await script.ended(), { code: 0, signal: null }, script.output());
    assert.match(script.stdout(), /^argument\ttrue\nfinished\n$/);
  }
});

test('SIGTERM leaves a script the batch that it has; what timeout(1) sends twice is one request', async (t) => {
  const scripts = {
    'busy.lua': `function process(b)
  print("began")
  local till = os.clock() + 0.4
  while os.clock() < till do end
  print(b:count())
end
function finish() print("finished") end`,
    'busy.mjs': `export default async (b) => {
  console.log('began');
  await new Promise((done) => setTimeout(done, 400));
  console.log(b.count);
};
export const finish = () => console.log('finished');`,
  };
  for (const [name, text] of Object.entries(scripts)) {
    const [there, back] = [`busy${pipes++}`, `busy${pipes++}`];
    startPassing(t, 'null:?frames=60&packets=3&pausable=1', `${there}{0?wait=1`);
    const behind = startPassing(t, `${back}}0`, 'null:');
    const script = startScript(t, '--from', `${there}}0`, '--to', `${back}}0`, scriptFile(t, name, text));
    await script.until(/began\n/);
    script.child.kill('SIGTERM');
    await delay(20);
    script.child.kill('SIGTERM');
    assert.deepEqual(await script.ended(), { code: 0, signal: null }, script.output());
    assert.equal(script.stdout(), 'began\n3\nfinished\n', script.output());
    await until('its packets', () => behind.stats().rxPackets === 3);
  }
});

test('a second SIGTERM ends a script that does not come to its end', async (t) => {
  const pipe = `stuck${pipes++}`;
  startPassing(t, 'null:?frames=60&packets=3&pausable=1', `${pipe}{0?wait=1`);
  const text =
    "export default () => { console.log('began'); return new Promise((done) => setTimeout(done, 60_000)); };";
  const script = startScript(t, '--from', `${pipe}}0`, scriptFile(t, 'stuck.mjs', text));
  await script.until(/began\n/);
  await until('its end', () => {
    script.child.kill('SIGTERM');
    return script.child.exitCode !== null;
  });
  assert.deepEqual(await script.ended(), { code: 143, signal: null }, script.output());
});

test('what is missing on its command line is said', async (t) => {
  const script = startScript(t, 'x.lua');
  assert.equal((await script.ended()).code, 2);
  assert.match(script.output(), /option '--from' is missing.*try bricks-script --help/);
  const many = startScript(t, '--from', 'x}0', '--outputs', '2000', 'x.lua');
  assert.equal((await many.ended()).code, 2);
  assert.match(many.output(), /outputs: "2000" is not a whole number from 1 to 1023/);
  const nowhere = startScript(t, '--from', 'nowhere}0', 'bricks/script/examples/dns_count.lua');
  assert.equal((await nowhere.ended()).code, 1);
  assert.match(nowhere.output(), /pipe "nowhere}0": no engine serves it/);
});
