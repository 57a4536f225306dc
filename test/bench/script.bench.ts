// What the Script brick carries with a script that does nothing, in JavaScript and in Lua.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Brick, type PktEngine } from '../../index.ts';
import { packageRoot } from '../../package_info.ts';
import { generator, withEngine } from './local_engine.ts';
import { type Effort, NotHere, type Row } from './measure.ts';

const scripts = [
  { language: 'JavaScript', file: 'nothing.mjs', text: 'export default function () {}\n' },
  { language: 'Lua', file: 'nothing.lua', text: 'function process() end\n' },
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
  if (!existsSync(join(packageRoot, 'shell/bricks_script.ts'))) throw new NotHere('bricks-script is not there');
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  const rows: Row[] = [];
  try {
    for (const { language, file, text } of scripts) {
      writeFileSync(join(folder, file), text);
      const brick = new Brick('Script', join(folder, file)).connectInput(generator).connectOutput('null:');
      const ours = await withEngine(brick, (engine) => passedRates(engine, effort));
      rows.push({ name: `script: ${language} that does nothing, 60 bytes`, unit: 'Mpps', ours });
    }
    return rows;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
