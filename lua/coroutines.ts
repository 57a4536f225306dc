// coroutine.*, pcall and xpcall, so that time slices, waits and interruptions pass through them.
//
// A chunk is suspended by a yield that belongs to the scheduler: it must travel from a coroutine of the user up to the
// chunk, and not return from the user's coroutine.resume(). And no pcall() may swallow the end of a chunk.
import { LuaCallError } from './call_error.ts';
import { pushText } from './convert.ts';
import { extendTable, guarded, pushFunction } from './functions.ts';
import { type LuaFunction, type LuaState, lauxlib, lua } from './lua_api.ts';
import type { Scheduler } from './scheduler.ts';

function checkThread(L: LuaState): LuaState {
  lauxlib.luaL_checktype(L, 1, lua.LUA_TTHREAD);
  const coroutine = lua.lua_tothread(L, 1);
  if (coroutine === null) throw new Error('a thread that is none');
  return coroutine;
}

function isDead(coroutine: LuaState): boolean {
  if (lua.lua_status(coroutine) === lua.LUA_YIELD) return false;
  if (lua.lua_status(coroutine) !== lua.LUA_OK) return true;
  return lua.lua_getstack(coroutine, 0, new lua.lua_Debug()) === 0 && lua.lua_gettop(coroutine) === 0;
}

/** Adds `coroutine.*`, `pcall` and `xpcall` to the globals. */
export function openCoroutines(L: LuaState, scheduler: Scheduler): void {
  /** Coroutines that are inside a resume(), perhaps of a chunk that is suspended now, or ended so. */
  const active = new WeakSet<LuaState>();

  /** Resumes with the arguments on top of L; `finish` finds the results, or the error, on top of L. */
  function resume(
    caller: LuaState,
    coroutine: LuaState,
    args: number,
    finish: (L: LuaState, results: number | 'error') => number,
  ): number {
    if (active.has(coroutine) || isDead(coroutine)) {
      lua.lua_pop(caller, args);
      pushText(caller, `cannot resume ${active.has(coroutine) ? 'non-suspended' : 'dead'} coroutine`);
      return finish(caller, 'error');
    }
    lua.lua_xmove(caller, coroutine, args);
    active.add(coroutine);
    return scheduler.resume(caller, coroutine, args, (L, status) => {
      active.delete(coroutine);
      if (status === lua.LUA_OK || status === lua.LUA_YIELD) {
        const results = lua.lua_gettop(coroutine);
        lua.lua_xmove(coroutine, L, results);
        return finish(L, results);
      }
      scheduler.endWhereTold(L);
      lua.lua_xmove(coroutine, L, 1);
      return finish(L, 'error');
    });
  }

  function create(L: LuaState): LuaState {
    lauxlib.luaL_checktype(L, 1, lua.LUA_TFUNCTION);
    const coroutine = lua.lua_newthread(L);
    lua.lua_pushvalue(L, 1);
    lua.lua_xmove(L, coroutine, 1);
    return coroutine;
  }

  const functions: Record<string, LuaFunction> = {
    create: (L) => {
      create(L);
      return 1;
    },
    resume: (L) =>
      resume(L, checkThread(L), lua.lua_gettop(L) - 1, (caller, results) => {
        lua.lua_pushboolean(caller, results !== 'error');
        const count = results === 'error' ? 1 : results;
        lua.lua_insert(caller, -count - 1);
        return count + 1;
      }),
    wrap: (L) => {
      const coroutine = create(L);
      const call = guarded((caller) =>
        resume(caller, coroutine, lua.lua_gettop(caller), (resumed, results) =>
          results === 'error' ? lua.lua_error(resumed) : results,
        ),
      );
      // As an upvalue the coroutine can be found by who counts what a chunk holds.
      lua.lua_pushcclosure(L, call, 1);
      return 1;
    },
    yield: (L) => {
      if (scheduler.isChunkThread) throw new LuaCallError('attempt to yield from outside a coroutine');
      lua.lua_yield(L, lua.lua_gettop(L));
      return 0;
    },
    status: (L) => {
      const coroutine = checkThread(L);
      if (coroutine === L) pushText(L, 'running');
      else if (active.has(coroutine)) pushText(L, 'normal');
      else pushText(L, isDead(coroutine) ? 'dead' : 'suspended');
      return 1;
    },
    running: (L) => {
      lua.lua_pushthread(L);
      lua.lua_pushboolean(L, scheduler.isChunkThread);
      return 2;
    },
    isyieldable: (L) => {
      lua.lua_pushboolean(L, !scheduler.isChunkThread && lua.lua_isyieldable(L));
      return 1;
    },
  };
  extendTable(L, 'coroutine', functions);

  const finishPcall = guarded((L: LuaState, status: number, extra: number): number => {
    if (status === lua.LUA_OK || status === lua.LUA_YIELD) return lua.lua_gettop(L) - extra;
    // fengari 0.1.5 forgets to switch hooks on again after an error in a coroutine.
    L.allowhook = 1;
    scheduler.endWhereTold(L);
    lua.lua_pushboolean(L, false);
    lua.lua_pushvalue(L, -2);
    return 2;
  });

  pushFunction(L, (caller) => {
    lauxlib.luaL_checkany(caller, 1);
    lua.lua_pushboolean(caller, true);
    lua.lua_insert(caller, 1);
    const status = lua.lua_pcallk(caller, lua.lua_gettop(caller) - 2, lua.LUA_MULTRET, 0, 0, finishPcall);
    return finishPcall(caller, status, 0);
  });
  lua.lua_setglobal(L, Buffer.from('pcall'));

  pushFunction(L, (caller) => {
    const args = lua.lua_gettop(caller) - 2;
    lauxlib.luaL_checktype(caller, 2, lua.LUA_TFUNCTION);
    // function, handler, arguments -> function, handler, true, function, arguments
    lua.lua_pushboolean(caller, true);
    lua.lua_pushvalue(caller, 1);
    lua.lua_insert(caller, 3);
    lua.lua_insert(caller, 3);
    const status = lua.lua_pcallk(caller, args, lua.LUA_MULTRET, 2, 2, finishPcall);
    return finishPcall(caller, status, 2);
  });
  lua.lua_setglobal(L, Buffer.from('xpcall'));
}
