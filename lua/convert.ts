// Values across the border between TypeScript and Lua.
import { type LuaState, lauxlib, lua } from './lua_api.ts';

/** A Lua string as text; bytes that are not UTF-8 become U+FFFD. */
export function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

export function pushBytes(L: LuaState, bytes: Uint8Array): void {
  lua.lua_pushlstring(L, bytes, bytes.length);
}

export function pushText(L: LuaState, text: string): void {
  pushBytes(L, Buffer.from(text, 'utf8'));
}

/** `rxPackets` becomes `rx_packets`; names that are in snake case already stay. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * Pushes a plain value: arrays become sequences, objects tables whose keys are in snake case. A map is a table whose
 * keys are data: they stay as they are.
 */
export function pushValue(L: LuaState, value: unknown): void {
  if (value === undefined || value === null) {
    lua.lua_pushnil(L);
  } else if (typeof value === 'boolean') {
    lua.lua_pushboolean(L, value);
  } else if (typeof value === 'number' || typeof value === 'bigint') {
    lua.lua_pushnumber(L, Number(value));
  } else if (typeof value === 'string') {
    pushText(L, value);
  } else if (value instanceof Uint8Array) {
    pushBytes(L, value);
  } else if (Array.isArray(value)) {
    lua.lua_createtable(L, value.length, 0);
    value.forEach((item: unknown, index) => {
      pushValue(L, item);
      lua.lua_seti(L, -2, index + 1);
    });
  } else if (value instanceof Map) {
    pushTable(L, value);
  } else if (typeof value === 'object') {
    pushTable(
      L,
      Object.entries(value).map(([key, item]) => [snakeCase(key), item]),
    );
  } else {
    throw new TypeError(`a ${typeof value} cannot be given to Lua`);
  }
}

function pushTable(L: LuaState, entries: Iterable<[string, unknown]>): void {
  lua.lua_createtable(L, 0, 0);
  for (const [key, item] of entries) {
    pushValue(L, item);
    lua.lua_setfield(L, -2, Buffer.from(key));
  }
}

/** The name of a value's type as Lua's own messages have it. */
export function typeName(L: LuaState, index: number): string {
  return toText(lua.lua_typename(L, lua.lua_type(L, index)));
}

/** The text of any value, as tostring() makes it. */
export function displayText(L: LuaState, index: number): string {
  const text = toText(lauxlib.luaL_tolstring(L, index));
  lua.lua_pop(L, 1);
  return text;
}

/** The text of a string argument; raises where it is none. */
export function checkText(L: LuaState, argument: number): string {
  return toText(lauxlib.luaL_checkstring(L, argument));
}

/** The text of an argument that may be left out. */
export function optionalText(L: LuaState, argument: number): string | undefined {
  return lua.lua_type(L, argument) <= lua.LUA_TNIL ? undefined : checkText(L, argument);
}

/** Pushes nil, a message and a number: how Lua's own libraries report that something did not work out. */
export function pushFailure(L: LuaState, message: string, errno?: number): number {
  lua.lua_pushnil(L);
  pushText(L, message);
  if (errno === undefined) return 2;
  lua.lua_pushnumber(L, errno);
  return 3;
}
