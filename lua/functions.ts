// Functions in TypeScript that Lua calls. Every one is given to Lua by pushFunction(), so that what it throws becomes an
// error of Lua where it is thrown.
//
// fengari alone turns an exception into an error only where a chunk or a pcall() was entered. From the message handler of
// an xpcall() the exception would escape that: past every pcall(), and out of the process.
import { LuaCallError } from './call_error.ts';
import { displayText, pushText } from './convert.ts';
import { type LuaFunction, type LuaState, lauxlib, lua } from './lua_api.ts';

/** Where an interpreter keeps the function that turns an exception into Lua's error value. */
const errorValueField = Buffer.from('bricks.error_value');

/** Pushes "file:line: " of the innermost Lua code that runs. */
function pushPosition(L: LuaState): void {
  const debug = new lua.lua_Debug();
  for (let level = 1; lua.lua_getstack(L, level, debug) !== 0; level++) {
    lauxlib.luaL_where(L, level);
    if (displayText(L, -1) !== '') return;
    lua.lua_pop(L, 1);
  }
  pushText(L, '');
}

/** The text of an exception that is not meant for users: with the place in TypeScript it came from. */
export function internalErrorText(error: unknown): string {
  if (!(error instanceof Error)) return 'internal error';
  const [, place = ''] = (error.stack ?? '').split('\n').map((line) => line.trim());
  return `internal error: ${error.message} (${place})`;
}

/** Sets which exceptions have a text for users. Everything else is reported as internal. */
export function openErrors(L: LuaState, isUserError: (error: Error) => boolean): void {
  const errorValue: LuaFunction = (failed) => {
    const error = lua.lua_touserdata(failed, 1);
    pushPosition(failed);
    const isForUsers = error instanceof LuaCallError || (error instanceof Error && isUserError(error));
    pushText(failed, isForUsers ? error.message : internalErrorText(error));
    lua.lua_concat(failed, 2);
    return 1;
  };
  lua.lua_pushcfunction(L, errorValue);
  lua.lua_setfield(L, lua.LUA_REGISTRYINDEX, errorValueField);
  // What fengari's own functions throw.
  lua.lua_atnativeerror(L, errorValue);
}

/** The function, or continuation, with its exceptions raised as errors of Lua. */
export function guarded<Rest extends unknown[]>(
  f: (L: LuaState, ...rest: Rest) => number,
): (L: LuaState, ...rest: Rest) => number {
  return (L, ...rest) => {
    try {
      return f(L, ...rest);
    } catch (error) {
      // Lua's own jumps, of errors and yields, are no Errors: they pass.
      if (!(error instanceof Error)) throw error;
      // The exception may have left a function that filled its part of the stack.
      lua.lua_checkstack(L, 2);
      lua.lua_getfield(L, lua.LUA_REGISTRYINDEX, errorValueField);
      lua.lua_pushlightuserdata(L, error);
      lua.lua_call(L, 1, 1);
      return lua.lua_error(L);
    }
  };
}

/** Pushes a function. */
export function pushFunction(L: LuaState, f: LuaFunction): void {
  lua.lua_pushcfunction(L, guarded(f));
}

/** Sets functions as fields of the table on top of the stack. */
export function setFunctions(L: LuaState, functions: Readonly<Record<string, LuaFunction>>): void {
  for (const [name, f] of Object.entries(functions)) {
    pushFunction(L, f);
    lua.lua_setfield(L, -2, Buffer.from(name));
  }
}

/** Adds functions to a global table, which is made if it is not there. */
export function extendTable(L: LuaState, name: string, functions: Readonly<Record<string, LuaFunction>>): void {
  if (lua.lua_getglobal(L, Buffer.from(name)) === lua.LUA_TNIL) {
    lua.lua_pop(L, 1);
    lua.lua_createtable(L, 0, 0);
    lua.lua_pushvalue(L, -1);
    lua.lua_setglobal(L, Buffer.from(name));
  }
  setFunctions(L, functions);
  lua.lua_pop(L, 1);
}
