// What the Script brick carries: with scripts that do nothing, and that look at each packet, in JavaScript and in Lua.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Brick, type PktEngine } from '../../index.ts';
import { generator, withLocalEngine } from './local_engine.ts';
import type { Effort, Row } from './measure.ts';

/** A script that leaves a batch as it is, and one that looks at a field of each packet. */
const scripts = [
  { name: 'JavaScript that does nothing', file: 'nothing.mjs', text: 'export default function () {}\n' },
  { name: 'Lua that does nothing', file: 'nothing.lua', text: 'function process() end\n' },
  {
    name: "JavaScript that looks at each packet's port",
    file: 'port.mjs',
    text: `export default function (batch) {
      for (const packet of batch) if (packet.destinationPort !== 53) packet.drop();
    }\n`,
  },
  {
    name: "Lua that looks at each packet's port",
    file: 'port.lua',
    text: `function process(batch)
      for packet in batch:packets() do if packet.dst_port ~= 53 then packet:drop() end end
    end\n`,
  },
];

/** How long a script has to take its first packet. */
const startSeconds = 30;
/** Not counted: V8 compiles meanwhile. */
const warmUpSeconds = 0.5;

/** Packets that the script has sent on, and were taken from it. */
function passed(engine: PktEngine): { packets: number; at: number } {
  const sink = engine.stats().ports.find(({ driver, role }) => driver === 'null' && role === 'output');
  return { packets: sink?.txPackets ?? 0, at: performance.now() / 1000 };
}

async function passedRates(engine: PktEngine, effort: Effort): Promise<number[]> {
  for (let waited = 0; passed(engine).packets === 0; waited += 0.05) {
    if (waited > startSeconds) throw new Error(`no packet has passed the script in ${startSeconds} s`);
    await delay(50);
  }
  await delay(warmUpSeconds * 1000);
  const rates: number[] = [];
  for (let i = 0; i < effort.rounds; i++) {
    const before = passed(engine);
    await delay(effort.seconds * 1000);
    const after = passed(engine);
    rates.push((after.packets - before.packets) / (after.at - before.at) / 1e6);
  }
  return rates;
}

/** Generator, Script, sink; the script's process is beside the engine. */
export async function script(_programs: string, effort: Effort): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  const rows: Row[] = [];
  try {
    for (const { name, file, text } of scripts) {
      writeFileSync(join(folder, file), text);
      const brick = new Brick('Script', join(folder, file)).connectInput(generator).connectOutput('null:');
      const ours = await withLocalEngine(brick, (engine) => passedRates(engine, effort));
      rows.push({ name: `script: ${name}, 60 bytes`, unit: 'Mpps', ours });
    }
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
