// A program for tests: runs the engines that its argument describes and obeys lines on standard input.
// Started by engine_process.ts, inside a namespace or as another user. Prints one JSON object a line.
import { createInterface } from 'node:readline';
import { Brick, BricksError, onReport, PktEngine } from '../../index.ts';
import type { BrickDescription, EngineDescription } from './engine_process.ts';
import { collectGarbage, heldByProcess } from './leaks.ts';

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

function linked({ name, bufferSlots, links }: EngineDescription): PktEngine {
  const engine = new PktEngine(name, bufferSlots === undefined ? {} : { bufferSlots });
  try {
    for (const { brick, ...options } of links) engine.link(build(brick), options);
  } catch (error) {
    engine.delete();
    throw error;
  }
  return engine;
}

function make(description: EngineDescription): void {
  const engine = linked(description);
  try {
    engine.start();
  } catch (error) {
    engine.delete();
    throw error;
  }
  say({ started: engine.name, plan: { ...engine.plan, bricks: [] } });
}

/** Makes engines, one after the other, each of which starts and stops some times and is deleted. */
function cycle(engines: number, starts: number, description: EngineDescription): void {
  for (let i = 0; i < engines; i++) {
    const engine = linked(description);
    for (let j = 0; j < starts; j++) engine.start().stop();
    engine.delete();
  }
  collectGarbage();
  say({ deleted: description.name });
}

function halt(name: string): void {
  const engine = PktEngine.all().find((candidate) => candidate.name === name);
  if (engine?.isRunning) engine.stop();
  engine?.delete();
  say({ deleted: name });
}

async function obey(line: string): Promise<void> {
  const [command, name = '', times = '', json = ''] = line.split(' ');
  if (command === 'make') make(JSON.parse(line.slice(command.length)) as EngineDescription);
  else if (command === 'cycle')
    cycle(Number(name), Number(times), JSON.parse(line.slice(line.indexOf(json))) as EngineDescription);
  else if (command === 'held') say({ held: heldByProcess() });
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
