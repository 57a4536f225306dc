// string.rep(): fengari's reserves the length before anybody can refuse it, and counts to n even for an empty string.
import { pushBytes } from './convert.ts';
import { checkStringBytes } from './fengari_strings.ts';
import { extendTable } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';

/** Replaces string.rep() in the globals. */
export function openString(L: LuaState): void {
  const rep = (caller: LuaState): number => {
    const text = lauxlib.luaL_checkstring(caller, 1);
    const count = Math.max(0, Math.floor(lauxlib.luaL_checknumber(caller, 2)));
    const separator = lua.lua_type(caller, 3) <= lua.LUA_TNIL ? new Uint8Array() : lauxlib.luaL_checkstring(caller, 3);
    const total = count === 0 ? 0 : count * text.length + (count - 1) * separator.length;
    checkStringBytes(total);
    pushBytes(caller, total === 0 ? new Uint8Array() : Buffer.alloc(total, Buffer.concat([text, separator])));
    return 1;
  };
  extendTable(L, 'string', { rep });
}
