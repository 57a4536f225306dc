// What the whole program costs while nothing happens: processor time and memory of `bricks` with an idle engine.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../package_info.ts';
import { type Effort, makeLink, type Row } from './measure.ts';

const ticksPerSecond = 100;

function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

/** `bricks -f` with LoadBalancer on a quiet interface: the process's share of a core, memory, growth. */
export async function idle(_programs: string, effort: Effort): Promise<Row[]> {
  const link = makeLink();
  const folder = mkdtempSync(join(tmpdir(), 'bricks-idle-'));
  const script = join(folder, 'idle.lua');
  writeFileSync(
    script,
    `pe = PktEngine.new("e0")
     pe:link(Brick.new("LoadBalancer", 4):connect_input("v1"):connect_outputs("v1", 4))
     pe:start()
     print("started")`,
  );
  // exec: the pid measured is that of bricks itself.
  const child = spawn(
    'ip',
    ['netns', 'exec', link.namespace, process.execPath, join(packageRoot, 'dist/shell/bricks.js'), '-f', script],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, BRICKS_RUNTIME_DIR: folder },
    },
  );
  const ended = new Promise((done) => child.on('close', done));
  try {
    await Promise.race([new Promise((done) => child.stdout.once('data', done)), ended]);
    const pid = child.pid ?? 0;
    await delay(2000);
    const resident = residentMb(pid);
    const before = processorSeconds(pid);
    await delay(effort.longSeconds * 1000);
    const share = (processorSeconds(pid) - before) / effort.longSeconds;
    const grown = residentMb(pid) - resident;
    return [
      { name: 'idle engine: share of a core, whole process', unit: '%', ours: [share * 100], target: { max: 1 } },
      { name: 'resident memory after start', unit: 'MB', ours: [resident], target: { max: 150 } },
      { name: `its growth over ${effort.longSeconds} s`, unit: 'MB', ours: [grown], target: { max: 2 } },
    ];
  } finally {
    child.kill('SIGTERM');
    await ended;
    rmSync(folder, { recursive: true });
    link.close();
  }
}
