// dofile, loadfile, require and package: files relative to the working directory, then to fallback folders.

import { resolve } from 'node:path';
import { errorText } from '../engine/errors.ts';
import { LuaCallError } from './call_error.ts';
import { compileSource, sourceBytesMax } from './compile.ts';
import { checkText, pushText } from './convert.ts';
import { extendTable } from './functions.ts';
import { type LuaState, lua } from './lua_api.ts';
import { readWhole } from './open_file.ts';

/** Source as the compiler takes it: without a byte order mark, with a first line `#!...` emptied. */
export function sourceBytes(source: string | Uint8Array): Uint8Array {
  let bytes = typeof source === 'string' ? Buffer.from(source) : source;
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) bytes = bytes.subarray(3);
  if (bytes[0] !== '#'.charCodeAt(0)) return bytes;
  const end = bytes.indexOf('\n'.charCodeAt(0));
  return end < 0 ? new Uint8Array() : bytes.subarray(end);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

/** Adds the globals to L. */
export function openLoader(L: LuaState, fallbackFolders: readonly string[]): void {
  /** The file's name as messages should have it, and its source; undefined where there is none. */
  function findFile(name: string): { name: string; source: Uint8Array } | undefined {
    for (const folder of [process.cwd(), ...fallbackFolders]) {
      const path = resolve(folder, name);
      try {
        return { name: folder === process.cwd() ? name : path, source: sourceBytes(readWhole(path, sourceBytesMax)) };
      } catch (error) {
        if (isMissing(error)) continue;
        throw new LuaCallError(`cannot read ${name}: ${errorText(error)}`);
      }
    }
    return undefined;
  }

  /** Pushes the compiled file, or a message: true for the function. */
  function load(caller: LuaState, name: string): boolean {
    const file = findFile(name);
    if (file === undefined) {
      pushText(caller, `cannot open ${name}: not in ${[process.cwd(), ...fallbackFolders].join(' nor in ')}`);
      return false;
    }
    return compileSource(caller, file.source, `@${file.name}`) === lua.LUA_OK;
  }

  const loadfile = (caller: LuaState): number => {
    if (load(caller, checkText(caller, 1))) return 1;
    lua.lua_pushnil(caller);
    lua.lua_insert(caller, -2);
    return 2;
  };

  const dofile = (caller: LuaState): number => {
    const name = checkText(caller, 1);
    lua.lua_settop(caller, 0);
    if (!load(caller, name)) return lua.lua_error(caller);
    lua.lua_callk(caller, 0, lua.LUA_MULTRET, 0, (resumed) => lua.lua_gettop(resumed));
    return lua.lua_gettop(caller);
  };

  /** The field of package named `table` [name], pushed; false where it is nil. */
  function pushPackageField(caller: LuaState, table: string, name: string): boolean {
    lua.lua_getglobal(caller, Buffer.from('package'));
    lua.lua_getfield(caller, -1, Buffer.from(table));
    const type = lua.lua_getfield(caller, -1, Buffer.from(name));
    lua.lua_insert(caller, -3);
    lua.lua_pop(caller, 2);
    if (type !== lua.LUA_TNIL) return true;
    lua.lua_pop(caller, 1);
    return false;
  }

  function setLoaded(caller: LuaState, name: string): void {
    lua.lua_getglobal(caller, Buffer.from('package'));
    lua.lua_getfield(caller, -1, Buffer.from('loaded'));
    lua.lua_pushvalue(caller, -3);
    lua.lua_setfield(caller, -2, Buffer.from(name));
    lua.lua_pop(caller, 2);
  }

  function pushModule(caller: LuaState, name: string): void {
    if (pushPackageField(caller, 'preload', name)) return;
    lua.lua_getglobal(caller, Buffer.from('package'));
    lua.lua_getfield(caller, -1, Buffer.from('path'));
    const templates = checkText(caller, -1).split(';');
    lua.lua_pop(caller, 2);
    const files = templates.map((template) => template.replaceAll('?', name.replaceAll('.', '/')));
    const file = files.find((candidate) => findFile(candidate) !== undefined);
    if (file === undefined) {
      throw new LuaCallError(`module '${name}' not found: no package.preload['${name}'], no file ${files.join(', ')}`);
    }
    if (!load(caller, file)) lua.lua_error(caller);
  }

  const require = (caller: LuaState): number => {
    const name = checkText(caller, 1);
    if (pushPackageField(caller, 'loaded', name)) return 1;
    pushModule(caller, name);
    pushText(caller, name);
    const finish = (resumed: LuaState): number => {
      if (lua.lua_type(resumed, -1) === lua.LUA_TNIL && pushPackageField(resumed, 'loaded', name)) return 1;
      if (lua.lua_type(resumed, -1) === lua.LUA_TNIL) lua.lua_pushboolean(resumed, true);
      setLoaded(resumed, name);
      return 1;
    };
    lua.lua_callk(caller, 1, 1, 0, finish);
    return finish(caller);
  };

  extendTable(L, '_G', { loadfile, dofile, require });
  openPackage(L);
}

/** `package`: what is loaded already, how modules are found. */
function openPackage(L: LuaState): void {
  lua.lua_createtable(L, 0, 0);
  pushText(L, './?.lua;./?/init.lua;scripts/?.lua');
  lua.lua_setfield(L, -2, Buffer.from('path'));
  lua.lua_createtable(L, 0, 0);
  lua.lua_setfield(L, -2, Buffer.from('preload'));
  // luaL_requiref() has filled it.
  lua.lua_getfield(L, lua.LUA_REGISTRYINDEX, Buffer.from('_LOADED'));
  lua.lua_setfield(L, -2, Buffer.from('loaded'));
  lua.lua_setglobal(L, Buffer.from('package'));
}
