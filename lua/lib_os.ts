// os.*: what must not block or end the process. The rest is Lua's own.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { checkText, extendTable, optionalText } from './convert.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import type { Scheduler } from './scheduler.ts';

/** What a shell reports of a process: its status, or 128 and the number of the signal that ended it. */
export function shellStatus(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/** Runs a command in the shell; resolves with its status. A signal that aborts ends the command. */
function runShell(command: string, abort: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: 'inherit' });
    abort.addEventListener('abort', () => child.kill());
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      resolve(shellStatus(code, signal));
    });
  });
}

/** Replaces os.execute, os.exit and os.clock; adds os.setenv. */
export function openOs(L: LuaState, scheduler: Scheduler): void {
  /** Returns the status, as Lua 5.1 does: 0 is success. */
  const execute = (caller: LuaState): number => {
    const command = optionalText(caller, 1);
    const finish = (resumed: LuaState, status: number): number => {
      lua.lua_pushnumber(resumed, status);
      return 1;
    };
    // Without a command Lua asks whether there is a shell.
    if (command === undefined) return finish(caller, 1);
    return scheduler.wait(caller, (signal) => runShell(command, signal), finish);
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

  extendTable(L, 'os', { execute, exit, setenv, clock: (caller) => scheduler.clock(caller) });
}
