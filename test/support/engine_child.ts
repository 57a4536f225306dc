// A program for tests: runs the engines that its argument describes and obeys lines on standard input.
// Started by engine_process.ts, inside a namespace or as another user. Prints one JSON object a line.
import { createInterface } from 'node:readline';
import { Brick, BricksError, onReport, PktEngine } from '../../index.ts';
import type { BrickDescription, EngineDescription } from './engine_process.ts';
import { heldByProcess } from './leaks.ts';

function say(message: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function build({ type, argument, inputs = [], outputs = [], children = [] }: BrickDescription): Brick {
  const brick = new Brick(type, argument);
  return brick
    .connectInput(...inputs)
    .connectOutput(...outputs)
    .link(...children.map(build));
}

function make({ name, bufferSlots, links }: EngineDescription): void {
  const engine = new PktEngine(name, bufferSlots === undefined ? {} : { bufferSlots });
  try {
    for (const { brick, ...options } of links) engine.link(build(brick), options);
    engine.start();
  } catch (error) {
    engine.delete();
    throw error;
  }
  say({ started: name, plan: { ...engine.plan, bricks: [] } });
}

/** Starts and stops an engine, and says what the process holds afterwards. */
function cycle(name: string, times: number): void {
  for (let i = 0; i < times; i++) PktEngine.retrieve(name).start().stop();
  say({ held: heldByProcess() });
}

/** Makes, starts, stops and deletes it, and says what the process holds afterwards. */
function remake(description: EngineDescription, times: number): void {
  for (let i = 0; i < times; i++) {
    const engine = new PktEngine(description.name);
    for (const { brick, ...options } of description.links) engine.link(build(brick), options);
    engine.start().stop().delete();
  }
  say({ held: heldByProcess() });
}

function halt(name: string): void {
  const engine = PktEngine.all().find((candidate) => candidate.name === name);
  if (engine?.isRunning) engine.stop();
  engine?.delete();
  say({ deleted: name });
}

async function obey(line: string): Promise<void> {
  const [command, name = '', times = ''] = line.split(' ');
  if (command === 'make') make(JSON.parse(line.slice(command.length)) as EngineDescription);
  else if (command === 'cycle') cycle(name, Number(times));
  else if (command === 'remake')
    remake(JSON.parse(line.slice(`remake ${name}`.length)) as EngineDescription, Number(name));
  else if (command === 'halt') halt(name);
  else if (command === 'stats') say({ stats: PktEngine.retrieve(name).stats() });
  else if (command === 'wait') say({ waited: await PktEngine.retrieve(name).wait(30) });
  else if (command === 'stop') say({ stopped: PktEngine.retrieve(name).stop().name });
  else if (command === 'start') say({ started: PktEngine.retrieve(name).start().name });
  else if (command === 'delete') {
    PktEngine.retrieve(name).delete();
    say({ deleted: name });
  } else process.exit(0);
}

function fail(error: unknown): void {
  if (!(error instanceof BricksError)) throw error;
  say({ error: error.message, code: error.code });
}

onReport((report) => say({ report: report.text, engine: report.engine }));
try {
  for (const description of JSON.parse(process.argv[2] ?? '[]') as EngineDescription[]) make(description);
  say({ ready: true });
} catch (error) {
  fail(error);
}
const lines = createInterface({ input: process.stdin });
let last = Promise.resolve();
lines.on('line', (line) => {
  last = last.then(() => obey(line)).catch(fail);
});
lines.on('close', () => process.exit(0));
