// io.*: files, child processes and standard streams. A read that has to wait suspends the chunk, not the process.
import { errorText } from '../engine/errors.ts';
import { LuaCallError } from './call_error.ts';
import { checkText, displayText, optionalText, pushBytes, pushFailure, pushText, pushValue } from './convert.ts';
import { checkStringBytes, joinBytes, stringBytesMax } from './fengari_strings.ts';
import { type CloseResult, type FileSource, openFile, openProcess, readStream, whences } from './file_source.ts';
import { extendTable, pushFunction } from './functions.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import { LuaFile, type ReadFormat } from './lua_file.ts';
import { ObjectType } from './object.ts';
import type { Scheduler } from './scheduler.ts';
import { shellStatus } from './shell_process.ts';

/** Lua 5.1 writes "*l", 5.3 "l". */
function readFormats(L: LuaState, first: number): ReadFormat[] {
  const formats: ReadFormat[] = [];
  for (let i = first; i <= lua.lua_gettop(L); i++) {
    const isNumber = lua.lua_type(L, i) === lua.LUA_TNUMBER;
    const format = isNumber ? lua.lua_tonumber(L, i) : checkText(L, i).replace('*', '').slice(0, 1);
    const isCount = typeof format === 'number' && Number.isInteger(format) && format >= 0;
    if (!isCount && format !== 'l' && format !== 'L' && format !== 'a' && format !== 'n') {
      throw new LuaCallError(
        `read: argument ${i - first + 1} must be "*l", "*L", "*a", "*n" or a count of bytes, got ${displayText(L, i)}`,
      );
    }
    formats.push(format);
  }
  return formats.length === 0 ? ['l'] : formats;
}

function pushClosed(L: LuaState, result: CloseResult): number {
  if (result === undefined) {
    lua.lua_pushboolean(L, true);
    return 1;
  }
  const status = shellStatus(result);
  if (status === 0) lua.lua_pushboolean(L, true);
  else lua.lua_pushnil(L);
  pushText(L, result.signal === null ? 'exit' : 'signal');
  lua.lua_pushnumber(L, result.signal === null ? status : status - 128);
  return 3;
}

/** The number of the system's error, undefined for an error of another kind. */
function errnoOf(error: unknown): number | undefined {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' ? -error.errno : undefined;
}

/** What is done with an error of the system: returned, or raised. Other errors are faults. */
type Fail = (L: LuaState, error: unknown) => number;

const returnError: Fail = (L, error) => {
  const errno = errnoOf(error);
  if (errno === undefined) throw error;
  return pushFailure(L, errorText(error), errno);
};

const raiseError: Fail = (_L, error) => {
  throw errnoOf(error) === undefined ? error : new LuaCallError(errorText(error));
};

/** What to wait for; interrupted, it ends the process that the file stands on. */
function abandoning<T>(file: LuaFile, promise: Promise<T>): (signal: AbortSignal) => Promise<T> {
  return (signal) => {
    signal.addEventListener('abort', () => file.source.abandon?.());
    return promise;
  };
}

/** Puts `io` into the globals. */
export function openIo(L: LuaState, scheduler: Scheduler, stdin: NodeJS.ReadableStream | undefined): void {
  const standard = (source: Partial<FileSource>): LuaFile =>
    new LuaFile({
      ...source,
      close: () => {
        throw new LuaCallError('a standard stream cannot be closed');
      },
    });
  const files = {
    stdin: standard({ read: stdin === undefined ? refuseRead : lazily(() => readStream(stdin)) }),
    stdout: standard({ write: (bytes) => scheduler.print(bytes) }),
    stderr: standard({ write: (bytes) => scheduler.printError(bytes) }),
  };
  let input: LuaFile = files.stdin;
  let output: LuaFile = files.stdout;

  /** Does something with a file and waits where that takes time; `finish` pushes what came of it. */
  function perform<T>(
    caller: LuaState,
    file: LuaFile,
    begin: () => T | Promise<T>,
    finish: (L: LuaState, value: T) => number,
    fail: Fail = returnError,
  ): number {
    let begun: T | Promise<T>;
    try {
      begun = begin();
    } catch (error) {
      return fail(caller, error);
    }
    if (!(begun instanceof Promise)) return finish(caller, begun);
    // Never rejects: where no wait is possible nobody would see it.
    const pushing = begun.then(
      (value) => (resumed: LuaState) => finish(resumed, value),
      (error: unknown) => (resumed: LuaState) => fail(resumed, error),
    );
    return scheduler.wait(caller, abandoning(file, pushing), (resumed, push) => push(resumed));
  }

  function read(
    caller: LuaState,
    file: LuaFile,
    formats: readonly ReadFormat[],
    fail: Fail = returnError,
    atEnd: () => void = () => {},
  ): number {
    if (file.isClosed) throw new LuaCallError('the file is closed');
    if (file.source.read === undefined) throw new LuaCallError('the file is not open for reading');
    const results: (Buffer | number | null)[] = [];
    const step = (resumed: LuaState): number => {
      while (results.length < formats.length && results.at(-1) !== null) {
        // A source may give more than was asked for; what it gives for ever is too much.
        if (file.buffered > 2 * stringBytesMax) checkStringBytes(file.buffered);
        const result = file.tryRead(formats[results.length] ?? 'l');
        if (result !== 'more') {
          results.push(result);
          continue;
        }
        let filled: void | Promise<void>;
        try {
          filled = file.fill();
        } catch (error) {
          return fail(resumed, error);
        }
        if (filled !== undefined) return perform(resumed, file, () => filled, step, fail);
      }
      if (results[0] === null) atEnd();
      for (const result of results) {
        if (result === null) lua.lua_pushnil(resumed);
        else if (typeof result === 'number') lua.lua_pushnumber(resumed, result);
        else pushBytes(resumed, result);
      }
      return results.length;
    };
    return step(caller);
  }

  /** Writes the arguments from `first` on. */
  function write(caller: LuaState, file: LuaFile, first: number): number {
    if (file.isClosed) throw new LuaCallError('the file is closed');
    if (file.source.write === undefined) throw new LuaCallError('the file is not open for writing');
    const texts: Uint8Array[] = [];
    for (let i = first; i <= lua.lua_gettop(caller); i++) texts.push(lauxlib.luaL_checkstring(caller, i));
    const bytes = joinBytes(texts);
    return perform(
      caller,
      file,
      () => file.source.write?.(bytes),
      (resumed) => fileType.push(resumed, file),
    );
  }

  function close(caller: LuaState, file: LuaFile): number {
    if (file.isClosed) throw new LuaCallError('the file is closed already');
    const finish = (resumed: LuaState, result: CloseResult): number => {
      file.isClosed = true;
      return pushClosed(resumed, result);
    };
    return perform(caller, file, () => file.close(), finish);
  }

  function seek(caller: LuaState, file: LuaFile, first: number): number {
    if (file.isClosed) throw new LuaCallError('the file is closed');
    const given = optionalText(caller, first) ?? 'cur';
    const whence = whences.find((known) => known === given);
    if (whence === undefined) throw new LuaCallError(`seek: argument 1 must be "set", "cur" or "end", got "${given}"`);
    const offset = lua.lua_type(caller, first + 1) <= lua.LUA_TNIL ? 0 : lauxlib.luaL_checknumber(caller, first + 1);
    if (file.source.seek === undefined) return pushFailure(caller, 'this file cannot be positioned');
    // The source is ahead by what was fetched and not read yet.
    const ahead = whence === 'cur' ? file.buffered : 0;
    const move = (): number | undefined => file.source.seek?.(whence, offset - ahead);
    return perform(caller, file, move, (resumed, place) => {
      file.discard();
      pushValue(resumed, place);
      return 1;
    });
  }

  /** Pushes the function that a loop calls for each line. A file that nobody else has is closed at its end. */
  function pushLines(caller: LuaState, file: LuaFile, formats: readonly ReadFormat[], isOwn = false): number {
    const atEnd = (): void => {
      if (!isOwn) return;
      file.isClosed = true;
      void file.close();
    };
    pushFunction(caller, (iteration) => read(iteration, file, formats, raiseError, atEnd));
    return 1;
  }

  const fileType: ObjectType<LuaFile> = new ObjectType<LuaFile>(L, {
    name: 'FILE*',
    text: (file) => (file.isClosed ? 'file (closed)' : 'file'),
    methods: {
      read: (caller, file, first) => read(caller, file, readFormats(caller, first)),
      write,
      lines: (caller, file, first) => pushLines(caller, file, readFormats(caller, first)),
      close: (caller, file) => close(caller, file),
      flush: (caller, file) => fileType.push(caller, file),
      setvbuf: (caller, file) => fileType.push(caller, file),
      seek,
    },
  });

  /** The file that an argument names or is. */
  function fileArgument(caller: LuaState, mode: string): LuaFile {
    return fileType.get(caller, 1) ?? new LuaFile(openFile(checkText(caller, 1), mode)).closeWhenDropped();
  }

  extendTable(L, 'io', {
    open: (caller) => {
      const path = checkText(caller, 1);
      try {
        const source = openFile(path, optionalText(caller, 2) ?? 'r');
        return fileType.push(caller, new LuaFile(source).closeWhenDropped());
      } catch (error) {
        return pushFailure(caller, `${path}: ${errorText(error)}`, errnoOf(error));
      }
    },
    popen: (caller) => {
      const command = checkText(caller, 1);
      const mode = optionalText(caller, 2) ?? 'r';
      if (mode !== 'r' && mode !== 'w') {
        throw new LuaCallError(`io.popen: argument 2 must be "r" (to read) or "w" (to write), got "${mode}"`);
      }
      return fileType.push(caller, new LuaFile(openProcess(command, mode, scheduler.current)));
    },
    lines: (caller) => {
      if (lua.lua_type(caller, 1) <= lua.LUA_TNIL) return pushLines(caller, input, ['l']);
      const isOwn = fileType.get(caller, 1) === undefined;
      const formats = readFormats(caller, 2);
      try {
        return pushLines(caller, fileArgument(caller, 'r'), formats, isOwn);
      } catch (error) {
        throw new LuaCallError(`io.lines: ${errorText(error)}`);
      }
    },
    read: (caller) => read(caller, input, readFormats(caller, 1)),
    write: (caller) => write(caller, output, 1),
    close: (caller) => close(caller, fileType.get(caller, 1) ?? output),
    input: (caller) => {
      if (lua.lua_gettop(caller) > 0) input = fileArgument(caller, 'r');
      return fileType.push(caller, input);
    },
    output: (caller) => {
      if (lua.lua_gettop(caller) > 0) output = fileArgument(caller, 'w');
      return fileType.push(caller, output);
    },
    type: (caller) => {
      const file = fileType.get(caller, 1);
      if (file === undefined) lua.lua_pushnil(caller);
      else pushText(caller, file.isClosed ? 'closed file' : 'file');
      return 1;
    },
  });
  lua.lua_getglobal(L, Buffer.from('io'));
  for (const [name, file] of Object.entries(files)) {
    fileType.push(L, file);
    lua.lua_setfield(L, -2, Buffer.from(name));
  }
  lua.lua_pop(L, 1);
}

function refuseRead(): never {
  throw new LuaCallError("standard input is the prompt's; io.read() works in scripts without a terminal");
}

/** Makes the function at its first call: a stream that nobody reads must stay as it is. */
function lazily<T>(make: () => () => T): () => T {
  let made: (() => T) | undefined;
  return () => {
    made ??= make();
    return made();
  };
}
