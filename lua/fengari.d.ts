// Types of the part of fengari 0.1.5 that lua/ uses; it ships none. Names and meanings are those of Lua's C API.
declare module 'fengari' {
  /** A Lua string: its bytes. */
  export type LuaString = Uint8Array;

  /** A thread of an interpreter. */
  export interface LuaState {
    /** 0 while hooks are off. Lua's own field: see finishPcall() in lua/coroutines.ts. */
    allowhook: number;
    /** Instructions until the count hook is called next. */
    hookcount: number;
  }

  /** A function that Lua can call: returns how many values it has pushed. */
  export type LuaFunction = (L: LuaState) => number;

  /** What goes on when a function that yielded or called is resumed. */
  export type LuaContinuation = (L: LuaState, status: number, context: number) => number;

  export class LuaDebug {
    currentline: number;
    short_src: LuaString;
    name: LuaString | null;
  }

  export const lua: {
    readonly LUA_OK: number;
    readonly LUA_YIELD: number;
    readonly LUA_ERRSYNTAX: number;
    readonly LUA_MASKCOUNT: number;
    readonly LUA_MULTRET: number;
    readonly LUA_REGISTRYINDEX: number;
    readonly LUA_TNIL: number;
    readonly LUA_TBOOLEAN: number;
    readonly LUA_TNUMBER: number;
    readonly LUA_TSTRING: number;
    readonly LUA_TTABLE: number;
    readonly LUA_TFUNCTION: number;
    readonly LUA_TUSERDATA: number;
    readonly LUA_TTHREAD: number;
    readonly LUA_TNONE: number;
    readonly lua_Debug: typeof LuaDebug;
    lua_atnativeerror(L: LuaState, handler: LuaFunction): void;
    lua_call(L: LuaState, args: number, results: number): void;
    lua_callk(L: LuaState, args: number, results: number, context: number, k: LuaContinuation): void;
    lua_checkstack(L: LuaState, count: number): boolean;
    lua_concat(L: LuaState, count: number): void;
    lua_createtable(L: LuaState, array: number, record: number): void;
    lua_error(L: LuaState): never;
    lua_getfield(L: LuaState, index: number, key: LuaString): number;
    lua_getglobal(L: LuaState, name: LuaString): number;
    lua_getinfo(L: LuaState, what: LuaString, debug: LuaDebug): number;
    lua_gethookcount(L: LuaState): number;
    lua_getstack(L: LuaState, level: number, debug: LuaDebug): number;
    lua_gettop(L: LuaState): number;
    lua_insert(L: LuaState, index: number): void;
    lua_isyieldable(L: LuaState): boolean;
    /** The reader gives the source in pieces, null at its end. */
    lua_load(L: LuaState, reader: () => LuaString | null, data: null, name: LuaString, mode: LuaString): number;
    lua_newthread(L: LuaState): LuaState;
    lua_newuserdata(L: LuaState, size: number): { object?: object; methods?: () => string[] };
    lua_next(L: LuaState, index: number): number;
    lua_pcallk(
      L: LuaState,
      args: number,
      results: number,
      handler: number,
      context: number,
      k: LuaContinuation,
    ): number;
    lua_pop(L: LuaState, count: number): void;
    lua_pushboolean(L: LuaState, value: boolean): void;
    lua_pushcclosure(L: LuaState, f: LuaFunction, upvalues: number): void;
    lua_pushcfunction(L: LuaState, f: LuaFunction): void;
    lua_pushglobaltable(L: LuaState): void;
    lua_pushlightuserdata(L: LuaState, value: object): void;
    lua_pushnil(L: LuaState): void;
    lua_pushnumber(L: LuaState, value: number): void;
    lua_pushlstring(L: LuaState, bytes: LuaString, length: number): void;
    lua_pushthread(L: LuaState): boolean;
    lua_pushvalue(L: LuaState, index: number): void;
    lua_rawget(L: LuaState, index: number): number;
    lua_remove(L: LuaState, index: number): void;
    lua_replace(L: LuaState, index: number): void;
    lua_resume(L: LuaState, from: LuaState | null, args: number): number;
    lua_setfield(L: LuaState, index: number, key: LuaString): void;
    lua_setglobal(L: LuaState, name: LuaString): void;
    lua_sethook(L: LuaState, hook: (L: LuaState) => void, mask: number, count: number): void;
    lua_setmetatable(L: LuaState, index: number): void;
    lua_settop(L: LuaState, index: number): void;
    lua_seti(L: LuaState, index: number, key: number): void;
    /** Sets it to the value on top of the stack; null where there is none of that number. */
    lua_setupvalue(L: LuaState, index: number, n: number): LuaString | null;
    lua_status(L: LuaState): number;
    lua_toboolean(L: LuaState, index: number): boolean;
    lua_tocfunction(L: LuaState, index: number): LuaFunction | null;
    lua_tonumber(L: LuaState, index: number): number;
    /** A function that pushes this value again, on any thread of the same interpreter. */
    lua_toproxy(L: LuaState, index: number): (L: LuaState) => void;
    /** Converts a number in place. */
    lua_tolstring(L: LuaState, index: number): LuaString | null;
    lua_tothread(L: LuaState, index: number): LuaState | null;
    /** The data of a full userdata, or what a light one holds; null for anything else. */
    lua_touserdata(L: LuaState, index: number): { object?: object; methods?: () => string[] } | Error | null;
    /** The table, function, ... itself; null for a plain value. */
    lua_topointer(L: LuaState, index: number): object | null;
    lua_type(L: LuaState, index: number): number;
    lua_typename(L: LuaState, type: number): LuaString;
    lua_xmove(from: LuaState, to: LuaState, count: number): void;
    lua_yield(L: LuaState, results: number): void;
    /** Does not return outside a hook: the continuation goes on. */
    lua_yieldk(L: LuaState, results: number, context: number, k: LuaContinuation): never;
  };

  export const lauxlib: {
    luaL_checkany(L: LuaState, argument: number): void;
    luaL_checknumber(L: LuaState, argument: number): number;
    luaL_checkstring(L: LuaState, argument: number): LuaString;
    luaL_checktype(L: LuaState, argument: number, type: number): void;
    luaL_error(L: LuaState, format: LuaString): never;
    luaL_getmetafield(L: LuaState, index: number, name: LuaString): number;
    luaL_loadbufferx(L: LuaState, source: LuaString, size: number, name: LuaString, mode: LuaString): number;
    luaL_newmetatable(L: LuaState, name: LuaString): number;
    luaL_newstate(): LuaState;
    luaL_requiref(L: LuaState, name: LuaString, open: LuaFunction, global: number): void;
    luaL_setmetatable(L: LuaState, name: LuaString): void;
    luaL_testudata(L: LuaState, index: number, name: LuaString): { object?: object } | null;
    luaL_tolstring(L: LuaState, index: number): LuaString;
    luaL_traceback(L: LuaState, of: LuaState, message: LuaString | null, level: number): void;
    luaL_where(L: LuaState, level: number): void;
  };

  export const lualib: {
    readonly luaopen_base: LuaFunction;
    readonly luaopen_coroutine: LuaFunction;
    readonly luaopen_debug: LuaFunction;
    readonly luaopen_math: LuaFunction;
    readonly luaopen_os: LuaFunction;
    readonly luaopen_string: LuaFunction;
    readonly luaopen_table: LuaFunction;
    readonly luaopen_utf8: LuaFunction;
  };
}
