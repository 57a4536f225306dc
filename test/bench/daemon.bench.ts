// What the daemon's control side costs: round trips beside a bare socket, answers while scripts spin, the dashboard's
// snapshots, and whether engines notice any of it.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { packageRoot } from '../../package_info.ts';
import { ControlClient } from '../../shell/client/control_client.ts';
import { encodeFrame } from '../../shell/protocol/frame.ts';
import { type Effort, median, NotHere, pairs, type Row } from './measure.ts';

const onePlusOne = Buffer.from('1+1');

/** Round trips before any is measured, on both sides. */
const warmUpCalls = 15_000;

/** One slice of a chunk: lua/scheduler.ts. */
const sliceMs = 5;

/** Traffic for ever, as fast as one core makes it, on the processor that the daemon leaves alone. */
const busyEngine = `
  pe = PktEngine.new("busy", 512, 1)
  pe:link(Brick.new("LoadBalancer", 4):connect_input("null:?frames=60&flows=10000"):connect_output("null:a", "null:b"))
  pe:start()`;

/** Engines that have nothing to do, with 16 pipes each. */
const quietEngines = `
  for e = 0, 3 do
    local pe = PktEngine.new("e" .. e)
    pe:link(Brick.new("LoadBalancer", 4):connect_input("null:?packets=1"):connect_outputs("quiet" .. e, 16))
    pe:start()
  end`;

interface Daemon {
  readonly pid: number;
  client(): Promise<ControlClient>;
  end(): Promise<void>;
}

/** On the first processor: the other is the engine's. */
function startOnFirst(args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  return spawn('taskset', ['-c', '0', process.execPath, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] });
}

async function startDaemon(script: string): Promise<Daemon> {
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  writeFileSync(join(folder, 'start.lua'), script);
  const env = { ...process.env, BRICKS_RUNTIME_DIR: folder };
  const server = join(packageRoot, 'dist/shell/bricks_server.js');
  const args = [server, '--foreground', '--log', join(folder, 'log'), '-f', join(folder, 'start.lua')];
  const child = startOnFirst(args, env);
  const ended = new Promise((done) => child.on('close', done));
  process.env.BRICKS_RUNTIME_DIR = folder;
  const client = (): Promise<ControlClient> => ControlClient.connect('bench');
  let first: ControlClient | undefined;
  for (let tries = 0; first === undefined && tries < 200; tries++) {
    await delay(50);
    first = await client().catch(() => undefined);
  }
  if (first === undefined) throw new Error(`the daemon does not start: ${readFileSync(join(folder, 'log'), 'utf8')}`);
  const { pid } = first;
  first.close();
  return {
    pid,
    client,
    end: async () => {
      child.kill('SIGTERM');
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A process that does nothing but send back what it gets. */
async function startEcho(): Promise<{ socket: Socket; end(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'bricks-bench-'));
  const path = join(folder, 'echo.sock');
  const code = `require('node:net').createServer((s) => s.on('data', (d) => s.write(d)))
    .listen(${JSON.stringify(path)}, () => console.log('ready'))`;
  const child = startOnFirst(['-e', code], process.env);
  const ended = new Promise((done) => child.on('close', done));
  await new Promise((done) => child.stdout?.once('data', done));
  const socket = connect(path);
  await new Promise((done) => socket.once('connect', done));
  return {
    socket,
    end: async () => {
      socket.destroy();
      child.kill();
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}

function echoOnce(socket: Socket, frame: Buffer): Promise<void> {
  return new Promise((done) => {
    let received = 0;
    const take = (data: Buffer): void => {
      received += data.length;
      if (received < frame.length) return;
      socket.off('data', take);
      done();
    };
    socket.on('data', take);
    socket.write(frame);
  });
}

/** Microseconds that each call took. */
async function times(count: number, call: () => Promise<unknown>): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < count; i++) {
    const from = performance.now();
    await call();
    taken.push((performance.now() - from) * 1000);
  }
  return taken;
}

async function checkAnswer(client: ControlClient): Promise<void> {
  const evaluation = await client.evaluate(onePlusOne, 'text');
  if (evaluation.kind !== 'done' || evaluation.values[0]?.text !== '2') throw new Error('1+1 is not 2');
}

async function roundTrip(effort: Effort): Promise<Row> {
  const daemon = await startDaemon(busyEngine);
  const echo = await startEcho();
  const client = await daemon.client();
  const request = { type: 'evaluate', id: 1000, mode: 'line', code: onePlusOne, name: 'prompt', format: 'text' };
  const frame = encodeFrame(request, 1 << 20);
  const calls = Math.round(2000 * effort.seconds);
  // A daemon runs for months: V8 has compiled by then what is called often.
  await times(warmUpCalls, () => checkAnswer(client));
  await times(warmUpCalls, () => echoOnce(echo.socket, frame));
  try {
    const figures = await pairs(
      effort.rounds,
      {
        name: 'echo of the same frame on a bare Unix socket',
        take: async () => median(await times(calls, () => echoOnce(echo.socket, frame))),
      },
      async () => median(await times(calls, () => checkAnswer(client))),
    );
    const name = 'daemon: round trip of 1+1, an engine at full load on the other core';
    return { name, unit: 'µs', ...figures, target: { ratioMax: 3 } };
  } finally {
    client.close();
    await echo.end();
    await daemon.end();
  }
}

async function whileScriptsSpin(effort: Effort): Promise<Row> {
  const daemon = await startDaemon('');
  const client = await daemon.client();
  const spinners = await Promise.all(Array.from({ length: 10 }, () => daemon.client()));
  for (const spinner of spinners) void spinner.evaluate(Buffer.from('while true do end'), 'text').catch(() => {});
  await delay(200);
  const ours: number[] = [];
  try {
    for (let i = 0; i < effort.rounds; i++) {
      const taken = (await times(100 * effort.seconds, () => checkAnswer(client))).sort((a, b) => a - b);
      ours.push((taken[Math.ceil(taken.length * 0.99) - 1] ?? Number.NaN) / 1000);
    }
  } finally {
    for (const spinner of spinners) spinner.close();
    client.close();
    await daemon.end();
  }
  return {
    name: 'daemon: answer to 1+1 while 10 scripts spin, 99th percentile',
    unit: 'ms',
    ours,
    target: { max: 20 * sliceMs },
  };
}

/** Processor seconds of the daemon's main thread, to the nanosecond. */
function mainThreadSeconds(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
}

async function share(pid: number, seconds: number): Promise<number> {
  const before = mainThreadSeconds(pid);
  await delay(seconds * 1000);
  return (100 * (mainThreadSeconds(pid) - before)) / seconds;
}

async function dashboardCost(effort: Effort): Promise<Row> {
  const daemon = await startDaemon(quietEngines);
  const client = await daemon.client();
  const seconds = 4 * effort.seconds;
  const ours: number[] = [];
  try {
    await client.subscribe(1000);
    await delay(3000);
    for (let i = 0; i < effort.rounds; i++) {
      await client.subscribe(0);
      const without = await share(daemon.pid, seconds);
      await client.subscribe(1000);
      ours.push((await share(daemon.pid, seconds)) - without);
    }
  } finally {
    client.close();
    await daemon.end();
  }
  return {
    name: 'daemon: a dashboard of 4 engines and 64 pipes, one refresh a second: share of a core',
    unit: '%',
    ours,
    target: { max: 1 },
  };
}

/** Millions of packets that the busy engine makes a second. */
async function rate(client: ControlClient, seconds: number): Promise<number> {
  const before = await client.stats();
  await delay(seconds * 1000);
  const after = await client.stats();
  const packets = (after.engines[0]?.stats.rxPackets ?? 0) - (before.engines[0]?.stats.rxPackets ?? 0);
  return packets / (after.monotonicMs - before.monotonicMs) / 1000;
}

/** The same while four shells ask a hundred times a second each, and one of them has a dashboard's snapshots sent. */
async function rateAmongShells(daemon: Daemon, client: ControlClient, seconds: number): Promise<number> {
  const others = await Promise.all(Array.from({ length: 4 }, () => daemon.client()));
  let isOver = false;
  await others[0]?.subscribe(1000);
  const shells = others.map(async (shell) => {
    while (!isOver) {
      await checkAnswer(shell);
      await delay(10);
    }
  });
  const packets = await rate(client, seconds);
  isOver = true;
  await Promise.all(shells);
  for (const other of others) other.close();
  return packets;
}

async function engineRate(effort: Effort): Promise<Row> {
  const daemon = await startDaemon(busyEngine);
  const client = await daemon.client();
  try {
    const figures = await pairs(
      effort.rounds,
      { name: 'the same engine with nobody attached', take: () => rate(client, effort.seconds) },
      () => rateAmongShells(daemon, client, effort.seconds),
    );
    const name = 'daemon: packets of an engine with 4 shells at work and a dashboard attached';
    return { name, unit: 'Mpps', ...figures, target: { ratioMin: 0.95 } };
  } finally {
    client.close();
    await daemon.end();
  }
}

/** All of it, on two processors: the engine has one, everything else the other. */
export async function daemon(_programs: string, effort: Effort): Promise<Row[]> {
  if (availableParallelism() < 2) throw new NotHere('needs two processors');
  return [
    await roundTrip(effort),
    await whileScriptsSpin(effort),
    await dashboardCost(effort),
    await engineRate(effort),
  ];
}
