// Has the scheduler look at the clock after each library call that took long: its hook counts instructions, and a thousand
// of them may be a thousand calls that take a second each.
import { pushFunction } from './functions.ts';
import { type LuaFunction, type LuaState, lua } from './lua_api.ts';
import type { Scheduler } from './scheduler.ts';

/** A call that took longer is taken into account at once. Looking at the clock twice costs a tenth of a microsecond. */
const longMs = 1;

const timedTables = ['string', 'table', 'utf8'];
const timedFunctions: readonly (readonly [table: string, name: string])[] = [
  ['_G', 'load'],
  ['io', 'open'],
  ['io', 'popen'],
  ['io', 'lines'],
  ['os', 'date'],
];

/** Names of the functions in the table on top of the stack. */
function functionNames(L: LuaState): string[] {
  const names: string[] = [];
  lua.lua_pushnil(L);
  while (lua.lua_next(L, -2) !== 0) {
    if (lua.lua_tocfunction(L, -1) !== null) names.push(Buffer.from(lua.lua_tolstring(L, -2) ?? []).toString());
    lua.lua_pop(L, 1);
  }
  return names;
}

/** Puts the functions of the libraries that can take long into a wrapper. To be called when they are complete. */
export function openTimedCalls(L: LuaState, scheduler: Scheduler): void {
  const timed =
    (f: LuaFunction): LuaFunction =>
    (caller) => {
      const beganMs = performance.now();
      try {
        return f(caller);
      } finally {
        if (performance.now() - beganMs > longMs) scheduler.lookSoon();
      }
    };
  const replace = (name: string): void => {
    lua.lua_getfield(L, -1, Buffer.from(name));
    const f = lua.lua_tocfunction(L, -1);
    lua.lua_pop(L, 1);
    if (f === null) throw new Error(`${name} is not there`);
    pushFunction(L, timed(f));
    lua.lua_setfield(L, -2, Buffer.from(name));
  };
  for (const table of timedTables) {
    lua.lua_getglobal(L, Buffer.from(table));
    for (const name of functionNames(L)) replace(name);
    lua.lua_pop(L, 1);
  }
  for (const [table, name] of timedFunctions) {
    lua.lua_getglobal(L, Buffer.from(table));
    replace(name);
    lua.lua_pop(L, 1);
  }
}
