// What a chunk returns: as text that people read, and as JSON that programs read.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import { Interpreter } from '../../lua/interpreter.ts';
import { messageBytesMax, outcomeBytesMax, tracebackBytesMax, valuesBytesMax } from '../../lua/text_limit.ts';
import { failLua, startLua, valuesOf } from '../support/lua_run.ts';

/** Expressions and their texts. */
const texts: [string, string[]][] = [
  ['"a", 1, 2.5, 2^53, true, nil', ['a', '1', '2.5', '9007199254740992', 'true', 'nil']],
  ['"two\\nlines"', ['two\nlines']],
  ['{}', ['{}']],
  ['{ 1, 2, "x" }', ['{ 1, 2, "x" }']],
  ['{ 1, nil, 3 }', ['{ 1, [3] = 3 }']],
  ['{ 10, 20, name = "e0", [7] = false, ["odd key"] = 0 }', ['{ 10, 20, [7] = false, name = "e0", ["odd key"] = 0 }']],
  [
    '{ b = { c = {} }, a = 1, ["end"] = 2, [true] = 3, [-1] = 4 }',
    ['{ [-1] = 4, a = 1, b = { c = {} }, ["end"] = 2, [true] = 3 }'],
  ],
  ['{ "q\\"\\\\", "\\n\\t\\1", "\\xff\\xfe", "é" }', ['{ "q\\"\\\\", "\\n\\t\\x01", "\\xff\\xfe", "é" }']],
  ['(function() local t = { 1 } t.me = t return t end)()', ['{ 1, me = <cycle> }']],
  ['(function() local t = {} return { t, t } end)()', ['{ {}, {} }']],
  [
    '(function() local t = {} for i = 1, 10 do t = { t } end return t end)()',
    [`${'{ '.repeat(8)}{...}${' }'.repeat(8)}`],
  ],
  ['setmetatable({}, { __tostring = function() return "mine" end })', ['mine']],
  ['{ setmetatable({}, { __tostring = function() return "a\\n\\tb" end }) }', ['{ a b }']],
  ['setmetatable({ 1 }, { __index = error, __len = error, __pairs = error, __eq = error })', ['{ 1 }']],
];

for (const [expression, expected] of texts) {
  test(`as text: ${expression}`, async () => {
    assert.deepEqual(await valuesOf(`return ${expression}`, 'text'), expected);
  });
}

test('a long table takes a line for each entry, and short ones in it stay on one', async () => {
  const source = 'return { name = ("n"):rep(60), list = { 1, 2, 3 }, sub = { a = ("a"):rep(50), b = ("b"):rep(20) } }';
  assert.deepEqual(await valuesOf(source, 'text'), [
    [
      '{',
      '  list = { 1, 2, 3 },',
      `  name = "${'n'.repeat(60)}",`,
      '  sub = {',
      `    a = "${'a'.repeat(50)}",`,
      `    b = "${'b'.repeat(20)}",`,
      '  },',
      '}',
    ].join('\n'),
  ]);
});

test('functions, threads and objects are what tostring() says', async () => {
  const interpreter = makeBricksInterpreter();
  const [fn, list, object] = await valuesOf(
    'return print, { coroutine.create(print) }, Brick.new("Merge")',
    'text',
    interpreter,
  );
  assert.match(fn ?? '', /^function/);
  assert.match(list ?? '', /^\{ thread: \S+ \}$/);
  assert.equal(object, 'Brick:\n\tType: Merge');
});

test('however much is returned, little is shown, and it says what is missing', async () => {
  const [table = ''] = await valuesOf('local t = {} for i = 1, 2e5 do t[i] = i end return t', 'text');
  assert.ok(Buffer.byteLength(table) <= 64 * 1024);
  const [, shown = 0, cut = 0] = /(\d+),\n {2}\.\.\. \(cut: (\d+) more entries\),\n\}$/.exec(table) ?? [];
  assert.ok(Number(shown) > 1000, table.slice(-100));
  // Beyond those that are shown entries are counted up to 100,000.
  assert.ok(Number(cut) >= 100_000, table.slice(-100));
  const [text = ''] = await valuesOf('return ("é"):rep(5e6)', 'text');
  assert.ok(Buffer.byteLength(text) <= valuesBytesMax);
  assert.match(text, /^é+\.\.\. \(cut: \d+ more bytes\)$/);
  const many = await valuesOf('return table.unpack({}, 1, 1e5)', 'text');
  assert.equal(many.at(-1), `... (cut: ${1e5 - many.length + 1} more values)`);
});

/** Expressions and what JSON.parse() makes of them. */
const json: [string, unknown][] = [
  ['nil', null],
  ['"text \\0\\n\\"é"', 'text \0\n"é'],
  ['2^53, 1e21, 0.1, -0.0, 1/0, -1/0, 0/0', [9007199254740992, 1e21, 0.1, 0, null, null, null]],
  ['{ 1, 2, { 3 } }', [1, 2, [3]]],
  ['{}', {}],
  ['{ 1, nil, 3 }', { 1: 1, 3: 3 }],
  ['{ 1, x = { y = true } }', { 1: 1, x: { y: true } }],
  ['{ [true] = 1, [1.5] = 2, ["1"] = 3 }', { true: 1, 1.5: 2, 1: 3 }],
  ['"\\xff\\xc3"', '\ufffd\ufffd'],
  ['(function() local t = {} t.me = t return t end)()', { me: '<cycle>' }],
  ['setmetatable({ 1 }, { __tostring = function() return "mine" end })', 'mine'],
];

for (const [expression, expected] of json) {
  test(`as JSON: ${expression}`, async () => {
    const lines = await valuesOf(`return ${expression}`, 'json');
    assert.ok(lines.every((line) => !line.includes('\n')));
    const values = lines.map((line) => JSON.parse(line) as unknown);
    assert.deepEqual(values.length === 1 ? values[0] : values, expected);
  });
}

test('as JSON: whole numbers have no fraction, statistics have their maps', async () => {
  const interpreter = makeBricksInterpreter();
  assert.deepEqual(await valuesOf('return 4294967296, { 3 }', 'json'), ['4294967296', '[3]']);
  const [stats = ''] = await valuesOf('PktEngine.new("json") return BRICKS.stats()', 'json', interpreter);
  await valuesOf('PktEngine.retrieve("json"):delete()', 'json', interpreter);
  const parsed = JSON.parse(stats) as Record<string, Record<string, unknown>>;
  assert.equal(parsed.json?.engine, 'json');
  assert.equal(parsed.json?.rx_packets, 0);
});

test('what is too long or too deep for JSON is an error, not half of it', async () => {
  const tooMuch =
    /^the result as JSON is longer than 524288 bytes, or nested deeper than 100 tables; return less of it$/;
  for (const source of [
    'return ("x"):rep(6e5)',
    'return ("\\1"):rep(2e5)',
    'return ("x"):rep(3e5), ("x"):rep(3e5)',
    'local t = {} for i = 1, 3e5 do t[i] = true end return t',
    'local t = {} for i = 1, 200 do t = { t } end return t',
  ]) {
    const outcome = await startLua(source, new Interpreter(), { format: 'json' }).outcome;
    assert.equal(outcome.kind, 'error', source);
    assert.match(outcome.kind === 'error' ? outcome.message : '', tooMuch, source);
  }
});

test("__tostring is code of the chunk: its errors and its endless loops are the chunk's", async () => {
  const object = (body: string) => `return { setmetatable({}, { __tostring = function() ${body} end }) }`;
  assert.equal(await failLua(object('error("no text")')), 'test.lua:1: no text');
  assert.match(await failLua(object('return 5 .. {}')), /attempt to concatenate a table value/);
  assert.match(await failLua(object('return {}')), /'__tostring' must return a string/);
  const endless = startLua(object('while true do end'));
  assert.match((await endless.outcome).kind, /error/);
});

test('an outcome fits in a message, whatever a chunk raises or is called', async () => {
  assert.ok(valuesBytesMax + messageBytesMax + tracebackBytesMax < outcomeBytesMax);
  const name = 'n'.repeat(100_000);
  for (const source of [
    'error(("\\xff"):rep(3e7))',
    'error(setmetatable({}, { __tostring = function() return ("x"):rep(1e6) end }))',
    `local function ${name}() error("x") end ${name}()`,
    `function ${name}() error("x") end ${name}()`,
    'local function deep() deep() end',
    'local function deep() return 1 + deep() end deep()',
  ]) {
    const outcome = await startLua(source).outcome;
    const parts = outcome.kind === 'error' ? [outcome.message, outcome.traceback] : [];
    assert.ok(Buffer.byteLength(parts[0] ?? '') <= messageBytesMax, source.slice(0, 40));
    assert.ok(Buffer.byteLength(parts[1] ?? '') <= tracebackBytesMax, source.slice(0, 40));
  }
  const compiled = new Interpreter().compile(`x ${'y'.repeat(1e5)}`, 'test.lua');
  assert.equal(compiled.kind, 'error');
  assert.ok(compiled.kind === 'error' && Buffer.byteLength(compiled.message) <= messageBytesMax);
});
