// How much data a chunk holds by itself: what is reached from its stack, without what everybody reaches by the globals.
//
// Asked by the memory guard when some chunk has to end, which happens seldom. By how much memory grew while a chunk ran says
// less: one chunk's garbage is collected in another's slice.
import { type LuaState, lua } from './lua_api.ts';

/** Objects that are looked at: 150 ms, and 20 MB to remember them. Who reaches so many holds much. */
const objectsMax = 300_000;

/** Bytes of fengari's objects, measured on Node 20: an entry of a table with its key and value, an instruction, an object. */
const entryBytes = 180;
const instructionBytes = 100;
const objectBytes = { table: 450, closure: 150, thread: 900, string: 150 };

/** A value of Lua in fengari. */
interface LuaValue {
  readonly value: unknown;
}

// The objects of fengari, known by their fields.
interface LuaTable {
  readonly strong: ReadonlyMap<unknown, { readonly key: LuaValue; readonly value: LuaValue }>;
  readonly metatable: object | null;
}
interface LuaThread {
  readonly stack: readonly (LuaValue | undefined)[];
  readonly top: number;
}
interface LuaClosure {
  readonly upvals: readonly LuaValue[];
  /** Its code: shared by the closures that one function has made. */
  readonly p: { readonly code: readonly unknown[] };
}
interface NativeClosure {
  readonly upvalue: readonly LuaValue[];
}
interface LuaStringObject {
  readonly realstring: Uint8Array;
}
type LuaObject = LuaTable | LuaThread | LuaClosure | NativeClosure | LuaStringObject;

function isLuaObject(value: unknown): value is LuaObject {
  if (typeof value !== 'object' || value === null) return false;
  return 'realstring' in value || 'strong' in value || 'upvals' in value || 'upvalue' in value || 'stack' in value;
}

/** What everybody reaches by the globals; `main` is the thread that all have them from. */
export function sharedObjects(main: LuaState): ReadonlySet<unknown> {
  lua.lua_pushglobaltable(main);
  const globals = lua.lua_topointer(main, -1);
  lua.lua_pop(main, 1);
  const shared = new Set<unknown>();
  if (isLuaObject(globals)) walk(globals, shared, new Set());
  return shared;
}

/** An estimate of the bytes that the thread reaches beside what is shared. */
export function reachedBytes(thread: LuaState, shared: ReadonlySet<unknown>): number {
  return walk(thread as unknown as LuaThread, new Set(), shared);
}

/** Adds what is reached from an object to `seen`; returns an estimate of its bytes. */
function walk(start: LuaObject, seen: Set<unknown>, shared: ReadonlySet<unknown>): number {
  seen.add(start);
  const found: LuaObject[] = [start];
  let bytes = 0;
  const add = ({ value }: LuaValue): void => {
    if (!isLuaObject(value) || seen.has(value) || shared.has(value) || seen.size >= objectsMax) return;
    seen.add(value);
    found.push(value);
  };
  for (let object = found.pop(); object !== undefined; object = found.pop()) {
    if ('realstring' in object) {
      bytes += objectBytes.string + object.realstring.length;
    } else if ('strong' in object) {
      bytes += objectBytes.table + object.strong.size * entryBytes;
      add({ value: object.metatable });
      for (const { key, value } of object.strong.values()) {
        add(key);
        add(value);
      }
    } else if ('stack' in object) {
      bytes += objectBytes.thread;
      for (const value of object.stack.slice(0, object.top)) if (value !== undefined) add(value);
    } else {
      bytes += objectBytes.closure;
      if ('p' in object && !seen.has(object.p) && !shared.has(object.p)) {
        seen.add(object.p);
        bytes += object.p.code.length * instructionBytes;
      }
      for (const value of 'upvals' in object ? object.upvals : object.upvalue) add(value);
    }
  }
  return bytes;
}
