// Loads fengari, the Lua virtual machine, with the numbers of Lua 5.1. Everything in lua/ takes it from here.
//
// fengari's integers have 32 bits and wrap: 2147483647 + 1 is negative, and counters would be. In Lua 5.1 every number is
// a double, exact to 2^53. Three changes before the first module that copies these functions is loaded make it so:
// numerals are doubles, what library functions push are doubles, and a whole double prints without ".0".
//
// Strings have a limit (fengari_strings.ts): its functions have to be in place before any other module takes them, too.
import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { LuaState } from 'fengari';
import { BoundedBuffer, changeStrings, type LuaStringModule, stringProblem } from './fengari_strings.ts';
import { blockingMsMax, elementsMax } from './limits.ts';
import { patternChanges, patternProblem, tableChanges } from './long_calls.ts';
import { numberText } from './number_text.ts';

interface LuaConfiguration {
  lua_number2str(n: number): string;
  LUA_COMPAT_FLOATSTRING: boolean;
}

interface LuaObjects {
  luaO_str2num(text: Uint8Array, value: LuaValue): number;
}

interface LuaValue {
  readonly value: number;
  ttisinteger(): boolean;
  setfltvalue(value: number): void;
}

interface LuaCore {
  lua_pushinteger(L: LuaState, n: number): void;
  lua_pushnumber(L: LuaState, n: number): void;
}

interface LuaDebugModule {
  luaG_runerror(L: LuaState, message: Uint8Array): never;
}

/** Called by a changed line of fengari: raises an error of Lua, or not. */
type Check = (L: LuaState, n: number) => unknown;

/** A line of fengari, and what takes its place. */
type Change = readonly [line: string, changed: string];

const require = createRequire(import.meta.url);

// Endless recursion ends there. At fengari's own limit, five times as deep, it takes seconds to find out.
// The setting is read from the environment only; child processes have no use for it.
process.env.FENGARICONF = JSON.stringify({ LUAI_MAXSTACK: 200_000 });
// luaconf.js and defs.js need each other: in the other order the registry's index is not a number.
require('fengari/src/defs.js');
delete process.env.FENGARICONF;
const configuration = require('fengari/src/luaconf.js') as LuaConfiguration;
configuration.lua_number2str = numberText;
configuration.LUA_COMPAT_FLOATSTRING = true;

changeStrings(require('fengari/src/lstring.js') as LuaStringModule);

/**
 * Has a module of fengari loaded with lines of its source changed, when its turn comes: they need each other in their
 * own order. For what neither its exports nor its arguments can change. fengari's version is pinned: the lines are there.
 *
 * @param checks what the changed lines call
 */
function changeLines(name: string, changes: readonly Change[], checks: Check): void {
  const path = require.resolve(name);
  let source = readFileSync(path, 'utf8');
  for (const [line, changed] of changes) {
    const [before, after, ...others] = source.split(line);
    if (after === undefined || others.length > 0) throw new Error(`${path}: not fengari 0.1.5`);
    source = `${before}${changed}${after}`;
  }
  const parameters = ['require', 'module', 'checks'];
  const load = compileFunction(source, parameters, { filename: path });
  const module = { exports: {} };
  let isLoaded = false;
  const cached = new Module(path);
  cached.loaded = true;
  Object.defineProperty(cached, 'exports', {
    get: () => {
      if (!isLoaded) {
        isLoaded = true;
        load(createRequire(path), module, checks);
      }
      return module.exports;
    },
  });
  require.cache[path] = cached;
}

// "a .. b .. c" is one instruction that reserves the whole length first. In an instruction exceptions of JavaScript cannot
// be turned into errors: there is no room on the stack.
const reserve = 'let buff = new Uint8Array(tl);';
changeLines('fengari/src/lvm.js', [[reserve, `checks(L, tl); ${reserve}`]], (L, bytes) => {
  const problem = stringProblem(bytes);
  if (problem === undefined) return;
  (require('fengari/src/ldebug.js') as LuaDebugModule).luaG_runerror(L, Buffer.from(problem));
});

changeLines('fengari/src/lstrlib.js', patternChanges, (L, began) => {
  const now = performance.now();
  if (began === 0) return now;
  L.hookcount = 1;
  if (now - began < blockingMsMax) return began;
  const { lua, lauxlib } = require('fengari') as typeof import('fengari');
  const debug = new lua.lua_Debug();
  const isKnown = lua.lua_getstack(L, 0, debug) !== 0 && lua.lua_getinfo(L, Buffer.from('n'), debug) !== 0;
  const message = patternProblem(isKnown && debug.name !== null ? Buffer.from(debug.name).toString() : '');
  return lauxlib.luaL_error(L, Buffer.from(message));
});

changeLines('fengari/src/ltablib.js', tableChanges, (L, count) => {
  if (count <= elementsMax) return;
  const { lauxlib } = require('fengari') as typeof import('fengari');
  lauxlib.luaL_error(L, Buffer.from(`${count} elements are too many for one call; go through ${elementsMax} at most`));
});

const core = require('fengari/src/lapi.js') as LuaCore;
core.lua_pushinteger = core.lua_pushnumber;

const objects = require('fengari/src/lobject.js') as LuaObjects;
const toNumber = objects.luaO_str2num;
objects.luaO_str2num = (text, value) => {
  const length = toNumber(text, value);
  if (length > 0 && value.ttisinteger()) value.setfltvalue(hexadecimalValue(text) ?? value.value);
  return length;
};

/** The value of a hexadecimal numeral: above 2^31 fengari's has wrapped. Undefined for other numerals, the usual ones. */
function hexadecimalValue(text: Uint8Array): number | undefined {
  if (!text.includes('x'.charCodeAt(0)) && !text.includes('X'.charCodeAt(0))) return undefined;
  const numeral = Buffer.from(text).toString('latin1').replaceAll('\0', '').trim();
  const [, sign, hexadecimal] = /^([+-]?)(0[xX][0-9a-fA-F]+)$/.exec(numeral) ?? [];
  return hexadecimal === undefined ? undefined : Number(hexadecimal) * (sign === '-' ? -1 : 1);
}

const auxiliary = require('fengari/src/lauxlib.js') as { luaL_Buffer: typeof BoundedBuffer };
auxiliary.luaL_Buffer = BoundedBuffer;

export const { lua, lauxlib, lualib } = require('fengari') as typeof import('fengari');
export type { LuaFunction, LuaState } from 'fengari';
