// What hostile and broken clients do to the control socket. Each attack returns when it is over; what it leaves open on
// purpose it closes. test/live/control_flood.test.ts says what must hold meanwhile and afterwards.
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { frameOf, type WireClient } from './control_wire.ts';
import type { Runtime } from './daemon.ts';
import { until } from './programs.ts';

/** One of them. `good` is a client that behaves, to look at the daemon with. */
export type Attack = (t: TestContext, runtime: Runtime, good: WireClient) => Promise<void>;

const hello = frameOf({ type: 'hello', protocol: 1, program: 'flood', version: '0', pid: 1 });

/** A connection of bytes only; what comes back is dropped. */
function raw(runtime: Runtime, ...pieces: readonly Uint8Array[]): Socket {
  const socket = connect(runtime.socket);
  socket.on('error', () => undefined);
  socket.resume();
  for (const piece of pieces) socket.write(piece);
  return socket;
}

function closed(sockets: readonly Socket[]): Promise<boolean> {
  return until('connections to be closed', () => sockets.every((socket) => socket.closed));
}

async function dismissed(t: TestContext, runtime: Runtime, bytes: Uint8Array, reason: RegExp): Promise<void> {
  const client = runtime.silentClient(t);
  client.sendBytes(bytes);
  assert.match(await client.dismissed(), reason);
}

function evaluation(id: number, code: string): Buffer {
  return frameOf({ type: 'evaluate', id, mode: 'line', code: Buffer.from(code), name: 'flood', format: 'text' });
}

/** Random bytes, the same each time. */
function randomBytes(seed: number, length: number): Buffer {
  let state = seed;
  return Buffer.from(
    Array.from({ length }, () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >>> 24;
    }),
  );
}

/** Waits until a global that abandoned chunks count up stands still: they have ended. */
async function standsStill(good: WireClient, name: string): Promise<void> {
  const hasStopped = `(function() local before = ${name} BRICKS.sleep(0.05) return ${name} == before end)()`;
  await until('abandoned chunks to end', async () => (await good.value(hasStopped)) === 'true');
}

/** `counter` is counted up, whatever else happens. */
function spinning(counter: string): string {
  return `while true do pcall(function() ${counter} = (${counter} or 0) + 1 while true do ${counter} = ${counter} + 1 end end) end`;
}

export const attacks: Readonly<Record<string, Attack>> = {
  'an HTTP request': (t, runtime) =>
    dismissed(t, runtime, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /a frame of 1195725856 bytes/),

  'a length of 4 GiB': (t, runtime) => dismissed(t, runtime, Buffer.alloc(64, 0xff), /a frame of 4294967295 bytes/),

  'deep nesting': async (t, runtime) => {
    const body = Buffer.alloc(1 << 20, 0x91);
    const length = Buffer.from([0, 0x10, 0, 0]);
    await dismissed(t, runtime, Buffer.concat([length, body]), /nested deeper/);
  },

  'half frames, then silence': async (_t, runtime, good) => {
    const frame = evaluation(1, 'never = true');
    const sockets = Array.from({ length: 50 }, (_, i) => raw(runtime, hello, frame.subarray(0, 1 + i)));
    assert.equal(await good.value('never'), 'nil');
    for (const socket of sockets) socket.destroy();
    await closed(sockets);
  },

  'a thousand idle connections': async (_t, runtime, good) => {
    const sockets: Socket[] = [];
    for (let i = 0; i < 1000; i++) {
      sockets.push(raw(runtime));
      // The queue of those who wait to be accepted is short.
      if (i % 50 === 49) assert.equal(await good.value(String(i)), String(i));
    }
    const newcomer = await runtime.client(_t);
    assert.equal(await newcomer.value('"who says hello gets in"'), 'who says hello gets in');
    await newcomer.leave();
    for (const socket of sockets) socket.destroy();
    await closed(sockets);
  },

  'random bytes': async (_t, runtime) => {
    const sockets = Array.from({ length: 100 }, (_, i) => {
      const bytes = randomBytes(i + 1, 2000);
      // Every other frame has a length that may be.
      if (i % 2 === 0) bytes.writeUInt32BE(200, 0);
      return raw(runtime, ...(i % 4 < 2 ? [hello] : []), bytes);
    });
    // Those that look like the beginning of a frame would wait for its rest.
    for (const socket of sockets) socket.end();
    await closed(sockets);
  },

  'endless output that nobody reads': async (_t, runtime, good) => {
    const sockets = [
      'while true do print(("x"):rep(1000)) unread = (unread or 0) + 1 end',
      'print(("x"):rep(5e7))',
    ].map((code) => raw(runtime, hello, evaluation(1, code)).pause());
    // It is suspended: its output is not kept anywhere.
    await until('output', async () => Number(await good.value('unread or 0')) > 10);
    await standsStill(good, 'unread');
    for (const socket of sockets) socket.destroy();
    await closed(sockets);
    await standsStill(good, 'unread');
  },

  'snapshots and logs that nobody reads': async (_t, runtime, good) => {
    const subscribe = frameOf({ type: 'subscribe', id: 1, statsMs: 100, logs: 'trace' });
    const requests = Buffer.concat(Array.from({ length: 2000 }, (_, i) => frameOf({ type: 'stats', id: i })));
    const sockets = Array.from({ length: 5 }, () => raw(runtime, hello, subscribe, requests).pause());
    await good.evaluate('BRICKS.sleep(0.3)');
    for (const socket of sockets) socket.destroy();
    await closed(sockets);
  },

  'a shell that is killed in the middle of a chunk': async (_t, runtime, good) => {
    const shell = runtime.spawn('bricks_shell', ['-e', spinning('killed')]);
    await until('the chunk to run', async () => Number(await good.value('killed or 0')) > 0);
    shell.child.kill('SIGKILL');
    await shell.exited;
    await standsStill(good, 'killed');
  },

  'a chunk of 10 MB': async (t, runtime) => {
    const code = Buffer.alloc(10_000_000, '-');
    const frame = frameOf({ type: 'evaluate', id: 1, mode: 'line', code, name: 'x', format: 'text' });
    await dismissed(t, runtime, Buffer.concat([hello, frame]), /a frame of \d+ bytes: it must be 1 to 1048576/);
    const shell = runtime.spawn('bricks_shell', [], { stdio: ['pipe', 'pipe', 'pipe'] });
    shell.child.stdin?.end(code);
    assert.deepEqual(await shell.ended(), { code: 1, signal: null });
    assert.match(shell.output(), /^bricks-shell: the chunk has 10000000 bytes, a request may have [^\n]*\n$/);
  },

  'code and output that are no UTF-8': async (t, runtime) => {
    const client = await runtime.client(t);
    const bytes = randomBytes(7, 5000);
    assert.equal((await client.evaluate(bytes)).kind, 'error');
    await client.evaluate('for i = 0, 255 do io.write(string.char(i)) end error("\\255\\254")');
    assert.deepEqual(client.output(), Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
    await client.leave();
  },

  'os.exit(), errors that are no text, and errors about errors': async (t, runtime) => {
    const client = await runtime.client(t);
    assert.deepEqual(await client.evaluate('os.exit(3)'), { kind: 'exit', status: 3 });
    const codes = [
      'error(setmetatable({}, { __tostring = function() while true do end end }))',
      'error(nil)',
      'local function f() return f() + 1 end f()',
      'string.rep("x", -1):bad()',
      'setmetatable(_G, { __index = function() error("all names") end }) nothing_of_that_name()',
      'error(("x"):rep(2^22))',
    ];
    for (const code of codes) assert.equal((await client.evaluate(code)).kind, 'error', code);
    await client.evaluate('setmetatable(_G, nil)');
    await client.leave();
  },

  'ten scripts that spin and catch everything': async (_t, runtime, good) => {
    const sockets = Array.from({ length: 10 }, () => raw(runtime, hello, evaluation(1, spinning('spun'))));
    await until('chunks to run', async () => Number(await good.value('spun or 0')) > 0);
    for (let i = 0; i < 20; i++) assert.equal(await good.value(`${i} * 7`), String(i * 7));
    for (const socket of sockets) socket.destroy();
    await closed(sockets);
    await standsStill(good, 'spun');
  },

  'twenty clients that evaluate at once': async (t, runtime) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => runtime.client(t)));
    const one = async (client: WireClient, k: number): Promise<void> => {
      for (let i = 0; i < 25; i++)
        assert.equal(await client.value(`print(${k}) return ${k} * 1000 + ${i}`), `${k * 1000 + i}`);
      assert.equal(client.output().toString(), `${k}\n`.repeat(25));
      await client.leave();
    };
    await Promise.all(clients.map(one));
  },

  'many evaluations in one piece': async (t, runtime) => {
    const client = await runtime.client(t);
    const count = 60;
    const answers = Array.from({ length: count }, (_, i) => client.evaluate(`${i} + 1`));
    for (const [i, answer] of answers.entries()) assert.equal((await answer).values?.[0]?.text, String(i + 1));
    await client.leave();
  },
};

/** Scripts that eat memory: they fail, in Lua, and others do not. Last: the process keeps what it once had. */
export const eatMemory: Attack = async (t, runtime) => {
  const client = await runtime.client(t);
  for (const code of [
    'local t = {} while true do t[#t + 1] = ("x"):rep(1e5) .. #t end',
    'local s = "x" while true do s = s .. s end',
    'local t = {} while true do pcall(function() while true do t = { t } end end) end',
    'return ("x"):rep(2^31)',
  ]) {
    const outcome = await client.evaluate(code);
    assert.equal(outcome.kind, 'error', code);
    assert.match(outcome.message ?? '', /not enough memory/, code);
  }
  assert.equal(await client.value('1 + 1'), '2');
  await client.leave();
};
