// os.*: what must not block or end the process. The rest is Lua's own.
import { LuaCallError } from './call_error.ts';
import { checkText, optionalText } from './convert.ts';
import { extendTable } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import type { Scheduler } from './scheduler.ts';
import { shellStatus, startShell } from './shell_process.ts';
import type { Task } from './task.ts';

/** Of a format of os.date(). */
const dateBytesMax = 4096;

/** Runs a command for a chunk; resolves with its status. A signal that aborts ends it. */
async function execute(command: string, task: Task, abort: AbortSignal): Promise<number> {
  const { ended, kill } = startShell(command, task);
  abort.addEventListener('abort', kill);
  return shellStatus(await ended);
}

/** Replaces os.execute, os.exit and os.clock; adds os.setenv. */
export function openOs(L: LuaState, scheduler: Scheduler): void {
  /** Returns the status, as Lua 5.1 does: 0 is success. */
  const runCommand = (caller: LuaState): number => {
    const command = optionalText(caller, 1);
    const finish = (resumed: LuaState, status: number): number => {
      lua.lua_pushnumber(resumed, status);
      return 1;
    };
    // Without a command Lua asks whether there is a shell.
    if (command === undefined) return finish(caller, 1);
    const task = scheduler.current;
    return scheduler.wait(caller, (signal) => execute(command, task, signal), finish);
  };

  const exit = (caller: LuaState): number => {
    let status = 0;
    if (lua.lua_type(caller, 1) === lua.LUA_TBOOLEAN) status = lua.lua_toboolean(caller, 1) ? 0 : 1;
    else if (lua.lua_type(caller, 1) > lua.LUA_TNIL) status = lauxlib.luaL_checknumber(caller, 1);
    return scheduler.end(caller, { kind: 'exit', status: status & 0xff });
  };

  /** An addition: sets a variable for this process and those it starts; nil takes it away. */
  const setenv = (caller: LuaState): number => {
    const name = checkText(caller, 1);
    const value = optionalText(caller, 2);
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
    return 0;
  };

  lua.lua_getglobal(L, Buffer.from('os'));
  lua.lua_getfield(L, -1, Buffer.from('date'));
  const originalDate = lua.lua_tocfunction(L, -1);
  lua.lua_pop(L, 2);
  const date = (caller: LuaState): number => {
    // Each "%c" takes ten microseconds.
    const bytes = lua.lua_type(caller, 1) === lua.LUA_TSTRING ? lauxlib.luaL_checkstring(caller, 1).length : 0;
    if (bytes > dateBytesMax)
      throw new LuaCallError(`os.date: a format of ${bytes} bytes; it may have ${dateBytesMax}`);
    if (originalDate === null) throw new Error('os.date is not there');
    return originalDate(caller);
  };

  extendTable(L, 'os', {
    date,
    execute: runCommand,
    exit,
    setenv,
    clock: (caller) => scheduler.clock(caller),
  });
}
