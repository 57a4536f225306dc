// What a script in Lua sees of packets: a batch with batch:packets(), and each packet with its fields and verdicts.
//
// Fields are looked up as they are asked for: a script pays for what it uses. Offsets count from 0, as everywhere in
// packets; the strings of packet:data() are Lua's, and count from 1.
import type { ScriptBatch, ScriptPacket } from '../bricks/script/script_batch.ts';
import { ScriptPacket as PacketClass } from '../bricks/script/script_batch.ts';
import { Arguments } from './arguments.ts';
import { LuaCallError } from './call_error.ts';
import { pushBytes, pushText, pushValue, toText } from './convert.ts';
import { pushFunction, setFunctions } from './functions.ts';
import { type LuaFunction, type LuaState, lauxlib, lua } from './lua_api.ts';
import { ObjectType } from './object.ts';

/** The fields of a packet: numbers, or text. */
const fields: Readonly<Record<string, (packet: ScriptPacket) => number | string | undefined>> = {
  length: (packet) => packet.length,
  wire_length: (packet) => packet.wireLength,
  timestamp: (packet) => packet.timestamp,
  hash: (packet) => packet.flowHash,
  ip_version: (packet) => packet.ipVersion,
  protocol: (packet) => packet.protocol,
  l3_offset: (packet) => packet.l3Offset,
  l4_offset: (packet) => packet.l4Offset,
  src: (packet) => packet.sourceAddress,
  dst: (packet) => packet.destinationAddress,
  src_port: (packet) => packet.sourcePort,
  dst_port: (packet) => packet.destinationPort,
};

function packetAt(L: LuaState, index: number): ScriptPacket {
  const object = (lua.lua_touserdata(L, index) as { object?: object } | null)?.object;
  if (object instanceof PacketClass) return object;
  throw new LuaCallError('call it with a colon, on a packet: packet:drop()');
}

/** An offset, a length, the number of an output. */
function countAt(args: Arguments, argument: number, meaning: string): number {
  const value = args.integer(argument, meaning);
  if (value < 0) args.fail(argument, 'a whole number from 0', meaning);
  return value;
}

/** packet:data([offset [, length]]): bytes as a string; fewer where the packet ends. */
function data(L: LuaState): number {
  const packet = packetAt(L, 1);
  const args = new Arguments(L, 'packet:data', 2);
  const offset = args.has(1) ? countAt(args, 1, 'the offset') : 0;
  const length = args.has(2) ? countAt(args, 2, 'the length') : packet.length;
  // A copy: Lua's strings live on, the packet's memory does not.
  pushBytes(L, packet.data.slice(offset, offset + length));
  return 1;
}

const methods: Readonly<Record<string, LuaFunction>> = {
  drop(L) {
    packetAt(L, 1).drop();
    return 0;
  },
  output(L) {
    packetAt(L, 1).output(countAt(new Arguments(L, 'packet:output', 2), 1, 'the output'));
    return 0;
  },
  replace(L) {
    packetAt(L, 1).replace(lauxlib.luaL_checkstring(L, 2));
    return 0;
  },
  byte(L) {
    const packet = packetAt(L, 1);
    const offset = countAt(new Arguments(L, 'packet:byte', 2), 1, 'the offset');
    pushValue(L, offset < packet.length ? packet.byte(offset) : undefined);
    return 1;
  },
  data,
  payload(L) {
    // A copy, as of data().
    pushValue(L, packetAt(L, 1).payload?.slice());
    return 1;
  },
};

/** Pushes what a packet has under a name. */
type Pusher = (L: LuaState, packet: ScriptPacket) => void;

/** Everything that a packet has, by name. */
function pushers(L: LuaState): Map<string, Pusher> {
  const all = new Map<string, Pusher>();
  for (const [name, read] of Object.entries(fields)) all.set(name, (caller, packet) => pushValue(caller, read(packet)));
  for (const [name, method] of Object.entries(methods)) {
    pushFunction(L, method);
    all.set(name, lua.lua_toproxy(L, -1));
    lua.lua_pop(L, 1);
  }
  return all;
}

/** Makes the metatable of packets; returns what pushes one. */
function openPacket(L: LuaState): Pusher {
  const byName = pushers(L);
  // A name in the source of a script is the same string of Lua each time: its text need not be made again.
  const byString = new WeakMap<Uint8Array, Pusher>();
  const find = (string: Uint8Array): Pusher => {
    const name = toText(string);
    const push = byName.get(name);
    if (push === undefined) throw new LuaCallError(`a packet has no "${name}"; have: ${[...byName.keys()].join(', ')}`);
    byString.set(string, push);
    return push;
  };
  lua.lua_createtable(L, 0, 0);
  setFunctions(L, {
    __index: (caller) => {
      const packet = packetAt(caller, 1);
      const string = lauxlib.luaL_checkstring(caller, 2);
      const push = byString.get(string) ?? find(string);
      push(caller, packet);
      return 1;
    },
  });
  for (const field of ['__name', '__metatable']) {
    pushText(L, 'Packet');
    lua.lua_setfield(L, -2, Buffer.from(field));
  }
  const pushMetatable = lua.lua_toproxy(L, -1);
  lua.lua_pop(L, 1);
  return (caller, packet) => {
    lua.lua_newuserdata(caller, 0).object = packet;
    pushMetatable(caller);
    lua.lua_setmetatable(caller, -2);
  };
}

/** Makes batches and packets known to Lua; returns what pushes a batch. */
export function openPackets(L: LuaState): (L: LuaState, batch: ScriptBatch) => void {
  const pushPacket = openPacket(L);
  const batchType = new ObjectType<ScriptBatch>(L, {
    name: 'Batch',
    methods: {
      packets: (caller, batch) => {
        let next = 0;
        pushFunction(caller, (iterator) => {
          if (next < batch.count) pushPacket(iterator, batch.packet(next++));
          else lua.lua_pushnil(iterator);
          return 1;
        });
        return 1;
      },
      count: (caller, batch) => {
        lua.lua_pushnumber(caller, batch.count);
        return 1;
      },
    },
    text: (batch) => `batch of ${batch.count} packets`,
  });
  return (caller, batch) => {
    batchType.push(caller, batch);
  };
}
