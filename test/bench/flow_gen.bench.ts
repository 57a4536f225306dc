// FlowGen on one core, beside Dummy; and from capture to capture, beside tcprewrite.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Brick, PktEngine } from '../../index.ts';
import { type Effort, NotHere, pairs, type Row, run } from './measure.ts';

const capturePackets = 1_000_000;

/** Whole engines, generator to sink: in place, and on copies where a Duplicator sends the packets elsewhere as well. */
function besideDummy(programs: string, effort: Effort): Row[] {
  const lines = run(join(programs, 'flow_gen'), [String(effort.seconds / 4), String(effort.rounds)]).split('\n');
  const figures = lines.map((line) => line.split(' ').map((value) => Number(value) / 1e6));
  const column = (i: number): number[] => figures.map((row) => row[i] ?? Number.NaN);
  return [
    {
      name: 'FlowGen: generator to sink, in place, one core, 60 bytes',
      unit: 'Mpps',
      ours: column(1),
      baseline: { name: 'Dummy', values: column(0) },
      target: { ratioMin: 0.5 },
    },
    {
      name: 'FlowGen: on copies, below a Duplicator',
      unit: 'Mpps',
      ours: column(3),
      baseline: { name: 'Dummy', values: column(2) },
    },
  ];
}

/** Runs an engine from its capture to its end; returns how many seconds that took. */
async function secondsOf(brick: Brick): Promise<number> {
  const engine = new PktEngine('bench', { cpu: 0 });
  try {
    const start = performance.now();
    engine.link(brick).start();
    await engine.wait();
    engine.stop();
    return (performance.now() - start) / 1000;
  } finally {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
}

/** A capture of frames with other addresses, packets/s: start, reading, writing and end of both. */
async function besideTcprewrite(effort: Effort): Promise<Row> {
  if (spawnSync('sh', ['-c', 'command -v tcprewrite']).status !== 0)
    throw new NotHere('needs tcprewrite (package tcpreplay)');
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  const [input, output] = [join(folder, 'in.pcap'), join(folder, 'out.pcap')];
  try {
    const generator = `null:?frames=60&flows=10000&packets=${capturePackets}`;
    await secondsOf(new Brick('Dummy').connectInput(generator).connectOutput(`pcap:${input}`));
    const tcprewrite = (): number => {
      const start = performance.now();
      const macs = ['--enet-dmac=be:ef:00:00:00:01', '--enet-smac=ba:da:55:00:00:01'];
      run('taskset', ['-c', '0', 'tcprewrite', ...macs, '-i', input, '-o', output]);
      return capturePackets / (performance.now() - start) / 1000;
    };
    const ours = async (): Promise<number> => {
      const brick = new Brick('FlowGen', 1).connectInput(`pcap:${input}`).connectOutput(`pcap:${output}`);
      return capturePackets / (await secondsOf(brick)) / 1e6;
    };
    return {
      name: 'FlowGen: capture to capture, 1,000,000 packets, 60 bytes',
      unit: 'Mpps',
      ...(await pairs(effort.rounds, { name: 'tcprewrite, fixed addresses', take: tcprewrite }, ours)),
      target: { ratioMin: 1 },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export async function flowGen(programs: string, effort: Effort): Promise<Row[]> {
  return [...besideDummy(programs, effort), await besideTcprewrite(effort)];
}
