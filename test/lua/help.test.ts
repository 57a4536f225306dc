// help: complete, true, and found in every way a user may ask.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { bricks } from '../../bricks/registry.ts';
import { drivers } from '../../engine/drivers.ts';
import { PktEngine } from '../../engine/pkt_engine.ts';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import { helpTables, helpTopics, topicHelp } from '../../lua/help/help.ts';
import type { ProgramControls } from '../../lua/program.ts';
import { failLua, runLua, startLua, valuesOf } from '../support/lua_run.ts';
import { projectFolder } from '../support/programs.ts';

process.chdir(projectFolder);

beforeEach(() => {
  for (const engine of PktEngine.all()) {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
});

/** A program with a log, which remembers what it was told. */
function makeProgram(): ProgramControls & { readonly lines: string[] } {
  let level = 'info';
  const lines: string[] = [];
  return {
    lines,
    logLevels: ['debug', 'info', 'warn'],
    setLogLevel: (given) => {
      level = given;
    },
    getLogLevel: () => level,
    log: (given, text) => {
      lines.push(`${given}: ${text}`);
    },
  };
}

/** What is in the globals beside functions. */
const values = ['version', 'pipe_program'];

test('every function and method has an entry, and every entry is one', async () => {
  const interpreter = makeBricksInterpreter();
  await runLua('PktEngine_object = PktEngine.new("e0") Brick_object = Brick.new("Dummy")', interpreter);
  for (const [name, { entries }] of helpTables) {
    const there = [...interpreter.fieldNames([name]), ...interpreter.fieldNames([`${name}_object`])];
    const functions = [...new Set(there)].filter((field) => !values.includes(field));
    assert.deepEqual(Object.keys(entries).sort(), functions.sort(), name);
    for (const [field, { signature }] of Object.entries(entries))
      assert.ok(signature.startsWith(`${field}(`), signature);
  }
});

for (const [name, { entries }] of helpTables) {
  for (const [field, { example }] of Object.entries(entries)) {
    test(`the example of ${name}.${field} runs`, { timeout: 20_000 }, async () => {
      const interpreter = makeBricksInterpreter({ program: makeProgram() });
      const outcome = await startLua(example, interpreter).outcome;
      assert.equal(
        outcome.kind,
        name === 'BRICKS' && field === 'shutdown' ? 'shutdown' : 'done',
        JSON.stringify(outcome),
      );
      assert.match(example, new RegExp(`\\b${field}\\b`));
    });
  }
}

test('one entry: signature, text and example, from the table, an object and the global help', async () => {
  const shown = await runLua('PktEngine.help("link")', makeBricksInterpreter());
  assert.match(shown, /^pe:link\(<brick>, <chunk_size>, <qid>\)\n {2}Sets the brick that .*\n {2}Example:\n {4}pe = /);
  for (const call of [
    'PktEngine.new("e0"):help("link")',
    'help("PktEngine.link")',
    'help("PktEngine:link")',
    'help("pe:link")',
  ]) {
    assert.equal(
      await runLua(`pcall(function() PktEngine.retrieve("e0"):delete() end) ${call}`, makeBricksInterpreter()),
      shown,
    );
  }
  assert.match(await runLua('help("link")', makeBricksInterpreter()), /^pe:link[\s\S]*\nb:link/);
});

test('methods are shown as such, and the functions of a table as its own', async () => {
  const headings: Record<string, string> = {
    'PktEngine.start': 'pe:start()',
    'pe:start': 'pe:start()',
    'PktEngine.new': 'PktEngine.new(<ioengine_name>, <queue_sz>, <cpu number>)',
    'PktEngine.retrieve': 'PktEngine.retrieve(<ioengine_name>)',
    wait: 'pe:wait([<seconds>])',
    connect_input: 'b:connect_input(<interfaces>)',
    'Brick.new': 'Brick.new(<type>, [<argument or options>])',
    'Brick.help': 'Brick.help()',
    'BRICKS.sleep': 'BRICKS.sleep(<seconds>)',
  };
  for (const [topic, heading] of Object.entries(headings)) {
    const [first] = (await runLua(`help("${topic}")`, makeBricksInterpreter())).split('\n');
    assert.equal(first, heading, topic);
  }
});

test('every topic that completion offers has help', () => {
  const topics = helpTopics();
  for (const topic of ['BRICKS', 'PktEngine.start', 'Brick.link', 'LoadBalancer', 'pcap'])
    assert.ok(topics.includes(topic));
  for (const topic of topics) assert.notEqual(topicHelp(topic), '', topic);
});

test('defaults are written as a user would write them', () => {
  assert.match(topicHelp('xdp'), /^ {4}force = 0 \(0 or 1\): /m);
  assert.match(topicHelp('xdp'), /^ {4}promiscuous = 1 \(0 or 1\): /m);
  assert.match(topicHelp('memif'), /^ {4}secret = "" \(a string\): /m);
});

test('lists: of a table, and of an object', async () => {
  const interpreter = makeBricksInterpreter();
  const list = await runLua('PktEngine.help()', interpreter);
  assert.match(
    list,
    /^Packet Engine Commands:\n {4}help\(\)\n[\s\S]*\n {2}PktEngine\.help\("new"\) shows what one of them does\.\n$/,
  );
  for (const call of [
    'help("PktEngine")',
    'help(PktEngine)',
    'pe = PktEngine.new("e0") pe:help()',
    'help(pe)',
    'pe.help()',
  ]) {
    assert.equal(await runLua(call, interpreter), list, call);
  }
  assert.equal(await runLua('help(Brick.new("Merge"))', interpreter), await runLua('Brick.help()', interpreter));
});

test('a brick with methods of its own shows them beside those of all', async () => {
  const interpreter = makeBricksInterpreter();
  const shown = await runLua('f = Brick.new("Filter") f:help()', interpreter);
  assert.ok(shown.startsWith(await runLua('Brick.help()', interpreter)), shown);
  assert.match(shown, /\n {2}Methods of its own, also while it runs:\n {4}add\(<rule /);
  assert.equal(await runLua('f.help()', interpreter), shown);
  assert.match(await runLua('f:help("clear")', interpreter), /^clear\(\): removes all rules/);
  assert.equal(await runLua('f:help("link")', interpreter), await runLua('Brick.help("link")', interpreter));
});

test('a brick: what it does, its options, ports and an example that runs', async () => {
  const text = await runLua('Brick.help("LoadBalancer")', makeBricksInterpreter());
  assert.match(text, /^LoadBalancer: splits traffic/);
  assert.match(text, /\n {2}Inputs: 1 to \d+\. Outputs: 1 to \d+\.\n/);
  assert.match(text, /\n {4}tuple = 4 \(2 or 4 or 5\): what keeps packets together/);
  for (const name of bricks.keys()) {
    const interpreter = makeBricksInterpreter();
    const shown = await runLua(`help("${name}")`, interpreter);
    const [, example = ''] = /\n {2}Example:\n([\s\S]*)$/.exec(shown) ?? [];
    assert.ok(example.includes(`Brick.new("${name}"`), shown);
  }
});

test('a port driver: its options', async () => {
  for (const { name, text, options } of drivers) {
    const shown = await runLua(`help("${name}")`, makeBricksInterpreter());
    assert.ok(shown.startsWith(`${name}: ${text}\n`), shown);
    for (const option of Object.keys(options)) assert.match(shown, new RegExp(`\\n {4}${option}( =.*)? \\(`));
  }
});

test('help alone is an overview, printed where it is typed', async () => {
  const interpreter = makeBricksInterpreter();
  const [typed = ''] = await valuesOf('return help', 'text', interpreter);
  assert.equal(await runLua('help()', interpreter), `${typed}\n`);
  for (const name of [...helpTables.keys(), ...bricks.keys(), ...drivers.map((driver) => driver.name)]) {
    assert.ok(typed.includes(name), name);
  }
});

test('what nothing is known about: one line with what there is', async () => {
  const cases: [string, RegExp][] = [
    ['BRICKS.help("nothing")', /^test\.lua:1: BRICKS\.help: nothing about "nothing"; have: help, print_status, .*$/],
    ['help("nothing")', /^test\.lua:1: help: nothing about "nothing"; have: BRICKS, .* LoadBalancer, .* pcap, .*$/],
    ['help("BRICKS.nothing")', /^test\.lua:1: help: nothing about "BRICKS\.nothing"; have: .*$/],
    ['help("constructor")', /^test\.lua:1: help: nothing about "constructor"; have: .*$/],
    ['help({})', /^test\.lua:1: help: argument 1 must be a name in quotes, an engine, .*$/],
  ];
  for (const [source, message] of cases) assert.match(await failLua(source, makeBricksInterpreter()), message);
});

test('the log of the program: lines and levels', async () => {
  const program = makeProgram();
  const interpreter = makeBricksInterpreter({ program });
  const source = 'BRICKS.log("one") BRICKS.log("warn", "two") BRICKS.set_log_level("debug") print(BRICKS.log_level())';
  assert.equal(await runLua(source, interpreter), 'debug\n');
  assert.deepEqual(program.lines, ['info: one', 'warn: two']);
  assert.match(
    await failLua('BRICKS.set_log_level("loud")', interpreter),
    /BRICKS\.set_log_level: argument 1 must be one of debug, info, warn \(a level of the log\), got string "loud"$/,
  );
  assert.match(
    await failLua('BRICKS.log("warn", 5)', interpreter),
    /BRICKS\.log: argument 2 must be a string \(what to log\)/,
  );
});

test('a program without a log: lines are printed as errors, levels cannot be set', async () => {
  assert.equal(await runLua('BRICKS.log("one")', makeBricksInterpreter()), 'info: one\n');
  assert.match(
    await failLua('BRICKS.set_log_level("info")', makeBricksInterpreter()),
    /^test\.lua:1: BRICKS\.set_log_level: this program has no log; bricks-server has one$/,
  );
  assert.match(await runLua('BRICKS.top()', makeBricksInterpreter()), /run bricks-top in another terminal/);
});
