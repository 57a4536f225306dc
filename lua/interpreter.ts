// The Lua interpreter: one set of globals, in which any number of chunks run side by side.
//
// It knows nothing of engines: lua/bricks_interpreter.ts adds those libraries. Used by shell/ and by tests.
import { openCompat51 } from './compat51.ts';
import { compileSource, openLoad } from './compile.ts';
import { displayText, pushText } from './convert.ts';
import { openCoroutines } from './coroutines.ts';
import { joinBytes } from './fengari_strings.ts';
import { openErrors, setFunctions } from './functions.ts';
import { openIo } from './lib_io.ts';
import { openOs } from './lib_os.ts';
import { openString } from './lib_string.ts';
import { openLoader, sourceBytes } from './loader.ts';
import { type LuaFunction, type LuaState, lauxlib, lua, lualib } from './lua_api.ts';
import { MemoryGuard } from './memory_guard.ts';
import { methodNames } from './object.ts';
import { type Output, type ResultFormat, Scheduler, type Task } from './scheduler.ts';
import { openStringFormat } from './string_format.ts';
import { cutText, messageBytesMax } from './text_limit.ts';
import { openTimedCalls } from './timed_calls.ts';

/** What surrounds an interpreter. */
export interface InterpreterOptions {
  /** What io.read() reads. Undefined: standard input belongs to a prompt, and io.read() says so. */
  readonly input?: NodeJS.ReadableStream;
  /** Where files are looked for that the working directory does not have. */
  readonly fallbackFolder?: string;
  /** True for errors whose text is for users: everything else is reported as internal. */
  readonly isUserError?: (error: Error) => boolean;
  /** How large the data of all scripts may be, over what this process held before. */
  readonly memoryBudgetBytes?: number;
}

/** Source that was compiled, or why not. */
export type Compiled =
  | { readonly kind: 'compiled'; readonly start: (output: Output, format?: ResultFormat) => Task }
  | { readonly kind: 'incomplete' | 'error'; readonly message: string };

const standardLibraries: Readonly<Record<string, LuaFunction>> = {
  _G: lualib.luaopen_base,
  coroutine: lualib.luaopen_coroutine,
  debug: lualib.luaopen_debug,
  math: lualib.luaopen_math,
  os: lualib.luaopen_os,
  string: lualib.luaopen_string,
  table: lualib.luaopen_table,
  utf8: lualib.luaopen_utf8,
};

/** debug.sethook() would take the scheduler's hook away, debug.debug() reads the terminal and blocks. */
function removeHazards(L: LuaState): void {
  lua.lua_getglobal(L, Buffer.from('debug'));
  for (const name of ['sethook', 'debug']) {
    lua.lua_pushnil(L);
    lua.lua_setfield(L, -2, Buffer.from(name));
  }
  lua.lua_pop(L, 1);
}

export class Interpreter {
  readonly L: LuaState;
  readonly scheduler: Scheduler;

  constructor(options: InterpreterOptions = {}) {
    const L = lauxlib.luaL_newstate();
    this.L = L;
    this.scheduler = new Scheduler(L, new MemoryGuard(L, options.memoryBudgetBytes));
    for (const [name, open] of Object.entries(standardLibraries)) {
      lauxlib.luaL_requiref(L, Buffer.from(name), open, 1);
      lua.lua_pop(L, 1);
    }
    openErrors(L, options.isUserError ?? (() => false));
    lua.lua_pushglobaltable(L);
    setFunctions(L, { print: (caller) => this.#print(caller) });
    lua.lua_pop(L, 1);
    removeHazards(L);
    openCoroutines(L, this.scheduler);
    openStringFormat(L);
    openString(L);
    openLoader(L, options.fallbackFolder === undefined ? [] : [options.fallbackFolder]);
    openIo(L, this.scheduler, options.input);
    openOs(L, this.scheduler);
    openLoad(L);
    openTimedCalls(L, this.scheduler);
    openCompat51(L);
  }

  /** Compiles source. `name` is what messages call it: a file's name. */
  compile(source: string | Uint8Array, name: string): Compiled {
    const { L } = this;
    const bytes = sourceBytes(source);
    const status = compileSource(L, bytes, `@${name}`);
    if (status === lua.LUA_OK) {
      // Off the stack: it may never be started.
      const pushChunk = lua.lua_toproxy(L, -1);
      lua.lua_pop(L, 1);
      const start = (output: Output, format?: ResultFormat): Task => {
        pushChunk(L);
        return this.scheduler.start(output, format);
      };
      return { kind: 'compiled', start };
    }
    const message = displayText(L, -1);
    lua.lua_pop(L, 1);
    const isIncomplete = status === lua.LUA_ERRSYNTAX && message.endsWith('<eof>');
    return { kind: isIncomplete ? 'incomplete' : 'error', message: cutText(message, messageBytesMax) };
  }

  /**
   * The names that a table or an object has, for completion. `path` leads there from the globals: ["BRICKS"].
   * Runs no code: metamethods are not asked.
   */
  fieldNames(path: readonly string[]): string[] {
    const { L } = this;
    const top = lua.lua_gettop(L);
    lua.lua_pushglobaltable(L);
    for (const name of path) {
      pushText(L, name);
      // A value takes the place of the one that it is in: a path may be longer than the stack.
      if (lua.lua_type(L, -2) === lua.LUA_TTABLE) lua.lua_rawget(L, -2);
      lua.lua_replace(L, -2);
    }
    const names = lua.lua_type(L, -1) === lua.LUA_TUSERDATA ? methodNames(L, -1) : [];
    if (lua.lua_type(L, -1) === lua.LUA_TTABLE) {
      lua.lua_pushnil(L);
      while (lua.lua_next(L, -2) !== 0) {
        lua.lua_pop(L, 1);
        if (lua.lua_type(L, -1) === lua.LUA_TSTRING) names.push(displayText(L, -1));
      }
    }
    lua.lua_settop(L, top);
    return names.sort();
  }

  #print(L: LuaState): number {
    const texts: Uint8Array[] = [];
    for (let i = 1; i <= lua.lua_gettop(L); i++) {
      if (i > 1) texts.push(Buffer.from('\t'));
      texts.push(lauxlib.luaL_tolstring(L, i));
      lua.lua_pop(L, 1);
    }
    this.scheduler.print(joinBytes([...texts, Buffer.from('\n')]));
    return 0;
  }
}
