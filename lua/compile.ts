// Compiles source within limits. fengari does that in one call, in which nothing else happens: the reader that gives it the
// source piece by piece can end it. Used for chunks, and for load(), dofile() and require().
import { LuaCallError } from './call_error.ts';
import { optionalText } from './convert.ts';
import { extendTable, pushFunction } from './functions.ts';
import { blockingMsMax, blockingSeconds } from './limits.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';

/** Of one source. Larger tables of data are read from files of their own. */
export const sourceBytesMax = 16 * 1024 * 1024;

const pieceBytes = 4096;

/** Text only: precompiled chunks can crash the interpreter. */
const mode = Buffer.from('t');

/** Pushes the compiled source or a message; returns Lua's status. `name` is Lua's: "@file.lua". Only text is taken. */
export function compileSource(L: LuaState, source: Uint8Array, name: string): number {
  if (source.length <= pieceBytes) return lauxlib.luaL_loadbufferx(L, source, source.length, Buffer.from(name), mode);
  // A mebibyte takes about half a second. What takes much longer is made for it: 100,000 `elseif` take a minute.
  const endMs = performance.now() + blockingMsMax;
  let place = 0;
  const read = (): Uint8Array | null => {
    if (source.length > sourceBytesMax) {
      const limit = `a source may have ${sourceBytesMax} (${sourceBytesMax / 2 ** 20} MiB)`;
      throw new LuaCallError(`${name.slice(1)}: ${source.length} bytes of source; ${limit}`);
    }
    if (performance.now() > endMs) {
      throw new LuaCallError(`${name.slice(1)}: takes longer than ${blockingSeconds} s to compile; split it`);
    }
    const piece = source.subarray(place, place + pieceBytes);
    place += pieceBytes;
    return piece.length === 0 ? null : piece;
  };
  const status = lua.lua_load(L, read, null, Buffer.from(name), mode);
  // That took a while: the hook looks with the next instruction whether the slice is over.
  L.hookcount = 1;
  return status;
}

/** Replaces load() in the globals, for strings; functions that give source are called by fengari's, and may be ended. */
export function openLoad(L: LuaState): void {
  lua.lua_getglobal(L, Buffer.from('load'));
  const original = lua.lua_tocfunction(L, -1);
  lua.lua_pop(L, 1);
  if (original === null) throw new Error('load is not there');

  /** Puts a reader in the place of the first argument that ends: one that gives source for ever would fill the memory. */
  const limitReader = (caller: LuaState): void => {
    const pushReader = lua.lua_toproxy(caller, 1);
    const endMs = performance.now() + blockingMsMax;
    let bytes = 0;
    pushFunction(caller, (reading) => {
      pushReader(reading);
      lua.lua_call(reading, 0, 1);
      bytes += lua.lua_tolstring(reading, -1)?.length ?? 0;
      if (bytes > sourceBytesMax || performance.now() > endMs) {
        const limits = `${sourceBytesMax / 2 ** 20} MiB and ${blockingSeconds} s`;
        throw new LuaCallError(`load: the function gives more source than a call may take (${limits})`);
      }
      return 1;
    });
    lua.lua_replace(caller, 1);
  };

  const load = (caller: LuaState): number => {
    if (lua.lua_type(caller, 1) === lua.LUA_TFUNCTION) limitReader(caller);
    const mode = optionalText(caller, 3) ?? 'bt';
    const source = lua.lua_type(caller, 1) === lua.LUA_TSTRING ? lua.lua_tolstring(caller, 1) : null;
    // What string.dump() made is short, and what is no text at all is refused there.
    const isBinary = source?.[0] === 0x1b;
    if (source === null || isBinary || !mode.includes('t')) return original(caller);
    const hasEnvironment = lua.lua_gettop(caller) >= 4;
    const name = optionalText(caller, 2) ?? Buffer.from(source.subarray(0, pieceBytes)).toString();
    if (compileSource(caller, source, name) !== lua.LUA_OK) {
      lua.lua_pushnil(caller);
      lua.lua_insert(caller, -2);
      return 2;
    }
    if (!hasEnvironment) return 1;
    lua.lua_pushvalue(caller, 4);
    if (lua.lua_setupvalue(caller, -2, 1) === null) lua.lua_pop(caller, 1);
    return 1;
  };
  extendTable(L, '_G', { load });
}
