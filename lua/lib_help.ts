// help: a table that is called, help("BRICKS.sleep"), and says what there is where it is merely typed, as Python's does.
import { LuaCallError } from './call_error.ts';
import { optionalText, pushText } from './convert.ts';
import { setFunctions } from './functions.ts';
import { helpTables, listText, overviewText, topicHelp } from './help/help.ts';
import { type LuaState, lua } from './lua_api.ts';
import type { ObjectType } from './object.ts';
import type { Scheduler } from './scheduler.ts';

/** Puts `help` into the globals. @param types the objects that it knows: help(pe) */
export function openHelp(
  L: LuaState,
  scheduler: Scheduler,
  types: readonly Pick<ObjectType<object>, 'name' | 'get'>[],
): void {
  /** The table that the first argument is, or is an object of. */
  function subject(caller: LuaState): string | undefined {
    const owner = types.find((type) => type.get(caller, 2) !== undefined);
    if (owner !== undefined) return owner.name;
    return [...helpTables.keys()].find((name) => {
      lua.lua_getglobal(caller, Buffer.from(name));
      const isSame = lua.lua_topointer(caller, -1) === lua.lua_topointer(caller, 2);
      lua.lua_pop(caller, 1);
      return isSame;
    });
  }

  function text(caller: LuaState): string {
    const type = lua.lua_type(caller, 2);
    if (type <= lua.LUA_TNIL) return `${overviewText}\n`;
    if (type === lua.LUA_TSTRING) return topicHelp(optionalText(caller, 2) ?? '');
    const table = helpTables.get(subject(caller) ?? '');
    if (table === undefined) {
      throw new LuaCallError(
        'help: argument 1 must be a name in quotes, an engine, a brick, BRICKS, PktEngine or Brick',
      );
    }
    return listText(table);
  }

  lua.lua_createtable(L, 0, 0);
  lua.lua_createtable(L, 0, 0);
  setFunctions(L, {
    __call: (caller) => {
      scheduler.print(Buffer.from(text(caller)));
      return 0;
    },
    __tostring: (caller) => {
      pushText(caller, overviewText);
      return 1;
    },
  });
  lua.lua_setmetatable(L, -2);
  lua.lua_setglobal(L, Buffer.from('help'));
}
