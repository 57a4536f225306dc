// string.format() for numbers as large as counters get: fengari's takes whole numbers of 32 bits only.
import { LuaCallError } from './call_error.ts';
import { pushBytes, pushText } from './convert.ts';
import { extendTable } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import { formatNumber } from './number_text.ts';

const directive = /%(?:%|([-+ #0]*)(\d*)(?:\.(\d*))?([a-zA-Z]))/g;

/** Of a width or a precision, as in Lua. */
const digitsMax = 2;

/** Replaces string.format() in the globals. */
export function openStringFormat(L: LuaState): void {
  lua.lua_getglobal(L, Buffer.from('string'));
  lua.lua_getfield(L, -1, Buffer.from('format'));
  const original = lua.lua_tocfunction(L, -1);
  lua.lua_pop(L, 2);
  if (original === null) throw new Error('string.format is not there');

  const format = (caller: LuaState): number => {
    const template = Buffer.from(lauxlib.luaL_checkstring(caller, 1)).toString('latin1');
    let argument = 1;
    const rewritten = template.replace(directive, (whole, flags = '', width = '', precision, letter = '') => {
      if (letter === '') return whole;
      argument++;
      if (width.length > digitsMax || (precision ?? '').length > digitsMax) {
        throw new LuaCallError('invalid format (width or precision too long)');
      }
      if (!'diuoxXeEfgG'.includes(letter)) return whole;
      const n = lauxlib.luaL_checknumber(caller, argument);
      const spec = {
        flags,
        width: Number(width),
        precision: precision === undefined ? undefined : Number(precision),
      };
      const text = formatNumber(letter, spec, n);
      if (text === undefined) {
        throw new LuaCallError(`string.format: argument ${argument} must be a whole number for ${whole}, got ${n}`);
      }
      pushText(caller, text);
      lua.lua_replace(caller, argument);
      return '%s';
    });
    pushBytes(caller, Buffer.from(rewritten, 'latin1'));
    lua.lua_replace(caller, 1);
    return original(caller);
  };
  extendTable(L, 'string', { format });
}
