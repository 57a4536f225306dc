// BRICKS, PktEngine and Brick: packet-bricks' functions, what they print, and what they say to wrong arguments.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PktEngine } from '../../engine/pkt_engine.ts';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import { version } from '../../package_info.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { runLua, startLua } from '../support/lua_run.ts';

const demoPackets = 458;
const demoBytes = 139_863;

beforeEach(() => {
  for (const engine of PktEngine.all()) {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
});

function run(source: string): Promise<string> {
  return runLua(source, makeBricksInterpreter());
}

test('help() prints the lists of packet-bricks', async () => {
  const text = await run('BRICKS.help() PktEngine.help() Brick.help()');
  for (const line of [
    'BRICKS Commands:\n    help()\n    print_status()\n    show_stats()\n',
    '    shutdown()\n  Available subsystems within BRICKS have their own help() methods:\n    PktEngine \n',
    'Packet Engine Commands:\n    help()\n    new(<ioengine_name>, <queue_sz>, <cpu number>)\n',
    '    link(<brick>, <chunk_size>, <qid>)\n',
    ' Commands:\n    help()\n    new(<type>, [<argument or options>])\n    connect_input(<interfaces>)\n    connect_output(<interfaces>)\n',
    '    connect_outputs(<interface>, split)\n',
  ]) {
    assert.ok(text.includes(line), line);
  }
});

test('every function and method is in its help()', async () => {
  const interpreter = makeBricksInterpreter();
  await runLua('pe = PktEngine.new("e0") b = Brick.new("Dummy")', interpreter);
  for (const [table, object] of [['BRICKS'], ['PktEngine', 'pe'], ['Brick', 'b']]) {
    const help = await runLua(`${table}.help()`, interpreter);
    const names = [table, object].flatMap((name) => (name === undefined ? [] : interpreter.fieldNames([name])));
    assert.ok(names.length > 2);
    const values = ['version', 'pipe_program'];
    for (const name of names)
      if (!values.includes(name)) assert.ok(help.includes(`\n    ${name}(`), `${table}.${name}`);
  }
});

test('BRICKS.stats() has engines under their own names, counters in snake case', async () => {
  const source =
    'PktEngine.new("myEngine") local stats = BRICKS.stats().myEngine print(stats.engine, stats.rx_packets)';
  assert.equal(await run(source), 'myEngine\t0\n');
});

test('what fails in a handler of xpcall stays in that xpcall', async () => {
  const text = await run(`
    pe = PktEngine.new("e0")
    print(xpcall(function() error("boom") end, function(m) PktEngine.retrieve("nope") return m end))
    print(xpcall(error, function(m) pe:wait(1) return m end, "z"))
    print(xpcall(error, function(m) BRICKS.sleep(0.1) return m end, "z"))
    print(xpcall(PktEngine.retrieve, function(m) return "handled: " .. m end, "nope"))
  `);
  const failed = 'false\terror in error handling\n';
  assert.equal(text, `${failed.repeat(3)}false\thandled: test.lua:6: engine "nope": no such engine; have: e0\n`);
});

test('an engine that was never started prints as packet-bricks prints it', async () => {
  const text = await run(`
    BRICKS.print_status()
    pe = PktEngine.new("e0", 1024, -1)
    print(pe) pe:show_stats() pe.show_stats() BRICKS.show_stats()
    print(PktEngine.retrieve("e0") == pe, BRICKS.version)
  `);
  const block = [
    '---------- ENGINE (e0) STATS------------',
    'Byte count: 0',
    'Packet count: 0',
    'Packet drop count: 0',
    '----------------------------------------',
  ];
  assert.deepEqual(text.split('\n'), [
    'BRICKS is online.',
    'PktEngine:',
    '\tName: e0',
    '\tType: packet',
    '\tBatch: 0',
    ...block,
    ...block,
    '----------------------------------------- ENGINE STATISTICS --------------------------------------------',
    'Engine \t\t Packet Cnt \t\t    Byte Cnt \t\t Packet Drop',
    'e0 \t\t          0 \t\t           0 \t\t           0',
    '========================================================================================================',
    'Total \t\t          0 \t\t           0',
    '--------------------------------------------------------------------------------------------------------',
    `true\t${version}`,
    '',
  ]);
});

test('methods return their object', async () => {
  const text = await run(`
    local pe, b, c = PktEngine.new("e0"), Brick.new("Dummy"), Brick.new("Dummy")
    print(b:connect_input("null:") == b, b:connect_output("x{0") == b, b:link(c) == b)
    print(Brick.new("LoadBalancer"):connect_outputs("x", 3))
    c:connect_input("x}0"):connect_output("null:")
    print(pe:link(b) == pe, pe:start() == pe, pe:stop() == pe, pe:show_stats() == pe, pe:unlink() == pe)
  `);
  const lines = text.split('\n');
  assert.equal(lines[0], 'true\ttrue\ttrue');
  assert.deepEqual(lines.slice(1, 4), ['Brick:', '\tType: LoadBalancer', '\tOutputs: x{0, x{1, x{2']);
  assert.equal(lines.at(-2), 'true\ttrue\ttrue\ttrue\ttrue');
});

test('wrong arguments name function, place and type', async () => {
  const cases: [string, string][] = [
    ['PktEngine.new()', "PktEngine.new: argument 1 must be a string (the engine's name), got nil"],
    ['PktEngine.new({})', "PktEngine.new: argument 1 must be a string (the engine's name), got table"],
    [
      'PktEngine.new("e9", "x")',
      'PktEngine.new: argument 2 must be a whole number (slots in each pipe), got string "x"',
    ],
    [
      'PktEngine.new("e9", 1.5)',
      'PktEngine.new: argument 2 must be a whole number (slots in each pipe), got number 1.5',
    ],
    ['PktEngine.new("e9", 0)', 'buffer slots: 0 is out of range; it must be 1 to 524288'],
    ['PktEngine.new("e0")', 'engine "e0": exists already; delete it first or choose another name'],
    ['PktEngine.retrieve("nope")', 'engine "nope": no such engine; have: e0'],
    ['pe:link()', 'PktEngine.link: argument 1 must be a Brick (to send packets through), got nil'],
    ['pe.link(pe)', 'PktEngine.link: argument 1 must be a Brick (to send packets through), got nil'],
    ['pe:link(b, {})', 'PktEngine.link: argument 2 must be a whole number (packets in a batch), got table'],
    ['pe:link(b, 100000)', 'batch: 100000 is out of range; it must be 1 to 4096'],
    ['pe:start()', 'engine "e0": nothing is linked; link a brick first'],
    ['pe:stop()', 'engine "e0": does not run; start it first'],
    ['pe:wait("x")', 'PktEngine.wait: argument 1 must be a number (seconds to wait at most), got string "x"'],
    ['Brick.new()', "Brick.new: argument 1 must be a string (the brick's type), got nil"],
    ['Brick.new("LoadBalancer", print)', 'must be a number, a string or a table'],
    ['Brick.new("LoadBalancer", { 4 })', 'must be a table of names and strings, numbers, booleans or lists'],
    [
      'Brick.new("LoadBalancer", { weights = { 1, "x" } })',
      'must be a table of names and strings, numbers, booleans or lists',
    ],
    ['Brick.new("LoadBalancer", { x = 4 })', 'brick "LoadBalancer": no option "x"; have: tuple'],
    ['Brick.new("LoadBalancer", 3)', 'brick "LoadBalancer": option "tuple" is 3; it must be 2 or 4 or 5'],
    ['b:connect_input()', 'Brick.connect_input: argument 1 must be a string (an input'],
    ['b:connect_input("x", 5)', 'Brick.connect_input: argument 2 must be a string (an input'],
    ['b:connect_outputs("x")', 'Brick.connect_outputs: argument 2 must be a whole number (how many pipes), got nil'],
    ['b:link(pe)', 'Brick.link: argument 1 must be a Brick (to put below this one), got userdata'],
    ['BRICKS.sleep()', 'BRICKS.sleep: argument 1 must be a number (seconds), got nil'],
    ['BRICKS.set_driver("carrier-pigeon")', 'default driver: "carrier-pigeon" is not there'],
    ['pe:nothing()', "attempt to call a nil value (method 'nothing')"],
  ];
  const source = cases.map(([call]) => `print(select(2, pcall(function() ${call} end)))`).join('\n');
  const lines = (await run(`pe = PktEngine.new("e0") b = Brick.new("Dummy")\n${source}`)).split('\n');
  cases.forEach(([call, message], i) => {
    assert.ok(lines[i]?.startsWith(`test.lua:${i + 2}: `), `${call}: ${lines[i]}`);
    assert.ok(lines[i]?.includes(message), `${call}: ${lines[i]}`);
  });
});

test('a capture is split into captures, and stats() tells how', async (t) => {
  const folder = makeFolder(t);
  const text = await run(`
    local pe = PktEngine.new("e0")
    local lb = Brick.new("LoadBalancer", { tuple = 4 })
    lb:connect_input("pcap:${demoCapture}"):connect_output("pcap:${folder}/a.pcap", "pcap:${folder}/b.pcap")
    pe:link(lb, 64, -1):start()
    print(pe:wait(10)) pe:stop()
    local s = pe:stats()
    print(s.engine, s.rx_packets, s.rx_bytes, s.tx_packets, s.dropped, s.lost, s.in_flight)
    local o = s.bricks[1].outputs
    print(#o, o[1] > 0, o[2] > 0, o[1] + o[2], #s.ports, BRICKS.stats().e0.tx_bytes)
    pe:show_stats() print(pe) pe:delete() print(next(BRICKS.stats()))
  `);
  const lines = text.split('\n');
  assert.equal(lines[0], 'true');
  assert.equal(lines[1], `e0\t${demoPackets}\t${demoBytes}\t${demoPackets}\t0\t0\t0`);
  assert.equal(lines[2], `2\ttrue\ttrue\t${demoPackets}\t3\t${demoBytes}`);
  assert.deepEqual(lines.slice(4, 7), [
    `Byte count: ${demoBytes}`,
    `Packet count: ${demoPackets}`,
    'Packet drop count: 0',
  ]);
  assert.deepEqual(lines.slice(8, 12), ['PktEngine:', '\tName: e0', '\tType: pcap', '\tBatch: 64']);
  assert.equal(lines[12], 'nil');
  assert.ok(existsSync(join(folder, 'a.pcap')));
});

test('pe:wait() gives up after its time, and can be interrupted', async () => {
  const interpreter = makeBricksInterpreter();
  const setUp = `
    pe = PktEngine.new("e0") local b = Brick.new("Dummy")
    b:connect_input("pcap:${demoCapture}?speed=0.001"):connect_output("null:") pe:link(b):start()
    print(pe:wait(0.05)) pe:wait()`;
  const chunk = startLua(setUp, interpreter);
  while (chunk.text() === '') await delay(5);
  assert.equal(chunk.text(), 'false\n');
  interpreter.scheduler.interrupt(chunk.task);
  assert.equal((await chunk.outcome).kind, 'interrupted');
  assert.equal(await runLua('pe:stop() pe:delete()', interpreter), '');
});

test('BRICKS.shutdown() says goodbye and ends the chunk', async () => {
  const chunk = startLua('pcall(BRICKS.shutdown) print("not reached")', makeBricksInterpreter());
  assert.deepEqual(await chunk.outcome, { kind: 'shutdown' });
  assert.equal(chunk.text(), 'Goodbye!\n');
});

test('completion knows tables and objects', async () => {
  const interpreter = makeBricksInterpreter();
  await runLua('pe = PktEngine.new("e0") t = { sub = { deep = 1 } }', interpreter);
  assert.ok(interpreter.fieldNames([]).includes('BRICKS'));
  assert.ok(interpreter.fieldNames(['BRICKS']).includes('show_stats'));
  assert.ok(interpreter.fieldNames(['pe']).includes('start'));
  assert.deepEqual(interpreter.fieldNames(['t', 'sub']), ['deep']);
  assert.deepEqual(interpreter.fieldNames(['t', 'none', 'x']), []);
  // However long a path is: deeper than the stack of Lua.
  const path = Array.from({ length: 2000 }, () => '_G');
  assert.ok(interpreter.fieldNames(path).includes('BRICKS'));
  assert.deepEqual(interpreter.fieldNames([...path, 'none', ...path]), []);
});
