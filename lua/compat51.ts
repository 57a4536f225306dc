// What Lua 5.1 has and 5.3 has not: scripts of packet-bricks are written for 5.1.
//
// In Lua where a function of the user is called, so that it may wait and be interrupted like any other.
import { LuaCallError } from './call_error.ts';
import { extendTable } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';

const source = `
unpack = table.unpack
loadstring = load
string.gfind = string.gmatch
math.mod = math.fmod
math.pow = function(x, y) return x ^ y end
math.log10 = function(x) return math.log(x, 10) end
table.getn = function(t) return #t end

function table.maxn(t)
  local max = 0
  for key in pairs(t) do
    if type(key) == 'number' and key > max then max = key end
  end
  return max
end

function table.foreach(t, f)
  for key, value in pairs(t) do
    local result = f(key, value)
    if result ~= nil then return result end
  end
end

function table.foreachi(t, f)
  for i = 1, #t do
    local result = f(i, t[i])
    if result ~= nil then return result end
  end
end

local getupvalue, upvaluejoin, getinfo = debug.getupvalue, debug.upvaluejoin, debug.getinfo

local function environment(f)
  if type(f) == 'number' then f = getinfo(f + 2, 'f').func end
  for i = 1, 255 do
    local name, value = getupvalue(f, i)
    if name == nil then return f end
    if name == '_ENV' then return f, i, value end
  end
end

function getfenv(f)
  local _, _, env = environment(f or 1)
  return env or _G
end

function setfenv(f, env)
  local target, i = environment(f)
  if i then upvaluejoin(target, i, function() return env end, 1) end
  return target
end
`;

/** Adds them to the globals. */
export function openCompat51(L: LuaState): void {
  extendTable(L, 'math', {
    ldexp: (caller) => {
      const mantissa = lauxlib.luaL_checknumber(caller, 1);
      lua.lua_pushnumber(caller, mantissa * 2 ** lauxlib.luaL_checknumber(caller, 2));
      return 1;
    },
    frexp: (caller) => {
      const n = lauxlib.luaL_checknumber(caller, 1);
      let exponent = n === 0 || !Number.isFinite(n) ? 0 : Math.floor(Math.log2(Math.abs(n))) + 1;
      // log2() rounds: just below a power of two it may be one too high.
      if (exponent !== 0 && Math.abs(n) < 2 ** (exponent - 1)) exponent--;
      lua.lua_pushnumber(caller, n / 2 ** exponent);
      lua.lua_pushnumber(caller, exponent);
      return 2;
    },
    cosh: (caller) => pushResult(caller, Math.cosh),
    sinh: (caller) => pushResult(caller, Math.sinh),
    tanh: (caller) => pushResult(caller, Math.tanh),
  });
  extendTable(L, '_G', { collectgarbage });
  const bytes = Buffer.from(source);
  if (lauxlib.luaL_loadbufferx(L, bytes, bytes.length, Buffer.from('=compat51'), Buffer.from('t')) !== lua.LUA_OK) {
    throw new Error('the Lua part of compat51 does not compile');
  }
  lua.lua_call(L, 0, 0);
}

function pushResult(L: LuaState, f: (x: number) => number): number {
  lua.lua_pushnumber(L, f(lauxlib.luaL_checknumber(L, 1)));
  return 1;
}

/** JavaScript collects its garbage by itself: only "count" has something to say. */
function collectgarbage(L: LuaState): number {
  const option =
    lua.lua_type(L, 1) <= lua.LUA_TNIL ? 'collect' : Buffer.from(lauxlib.luaL_checkstring(L, 1)).toString();
  const options = ['collect', 'count', 'isrunning', 'restart', 'setpause', 'setstepmul', 'step', 'stop'];
  if (!options.includes(option)) {
    throw new LuaCallError(`collectgarbage: argument 1 must be one of ${options.join(', ')}; got "${option}"`);
  }
  if (option === 'isrunning' || option === 'step') lua.lua_pushboolean(L, true);
  else lua.lua_pushnumber(L, option === 'count' ? process.memoryUsage().heapUsed / 1024 : 0);
  return 1;
}
