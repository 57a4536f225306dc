// io.*: files, child processes and standard streams. A read that has to wait suspends the chunk, not the process.
import { checkText, extendTable, LuaCallError, optionalText, pushBytes, pushFailure, pushText } from './convert.ts';
import { type CloseResult, type FileSource, openFile, openProcess, readStream } from './file_source.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';
import { LuaFile, type ReadFormat } from './lua_file.ts';
import { ObjectType } from './object.ts';
import type { Scheduler } from './scheduler.ts';
import { shellStatus } from './shell_process.ts';

/** Lua 5.1 writes "*l", 5.3 "l". */
function readFormats(L: LuaState, first: number): ReadFormat[] {
  const formats: ReadFormat[] = [];
  for (let i = first; i <= lua.lua_gettop(L); i++) {
    if (lua.lua_type(L, i) === lua.LUA_TNUMBER) {
      formats.push(lua.lua_tonumber(L, i));
      continue;
    }
    const letter = checkText(L, i).replace('*', '').slice(0, 1);
    if (letter !== 'l' && letter !== 'L' && letter !== 'a' && letter !== 'n') {
      throw new LuaCallError(`read: argument ${i - first + 1} must be "*l", "*L", "*a", "*n" or a count of bytes`);
    }
    formats.push(letter);
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

function failureText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

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
    new LuaFile({ ...source, close: () => Promise.reject(new LuaCallError('a standard stream cannot be closed')) });
  const files = {
    stdin: standard(stdin === undefined ? {} : { read: lazily(() => readStream(stdin)) }),
    stdout: standard({ write: (bytes) => scheduler.current.output.out(bytes) }),
    stderr: standard({ write: (bytes) => scheduler.current.output.err(bytes) }),
  };
  let input: LuaFile = files.stdin;
  let output: LuaFile = files.stdout;

  function read(caller: LuaState, file: LuaFile, formats: readonly ReadFormat[]): number {
    if (file.isClosed) throw new LuaCallError('the file is closed');
    if (file.source.read === undefined) throw new LuaCallError('the file is not open for reading');
    const results: (Buffer | number | null)[] = [];
    const step = (resumed: LuaState): number => {
      while (results.length < formats.length && results.at(-1) !== null) {
        const result = file.tryRead(formats[results.length] ?? 'l');
        if (result !== 'more') {
          results.push(result);
          continue;
        }
        const filled = file.fill();
        if (filled !== undefined) return scheduler.wait(resumed, abandoning(file, filled), step);
      }
      for (const result of results) {
        if (result === null) lua.lua_pushnil(resumed);
        else if (typeof result === 'number') lua.lua_pushnumber(resumed, result);
        else pushBytes(resumed, result);
      }
      return results.length;
    };
    return step(caller);
  }

  /** Writes the arguments from `first` on; returns what `finish` pushes. */
  function write(caller: LuaState, file: LuaFile, first: number): number {
    if (file.isClosed) throw new LuaCallError('the file is closed');
    if (file.source.write === undefined) throw new LuaCallError('the file is not open for writing');
    const texts: Uint8Array[] = [];
    for (let i = first; i <= lua.lua_gettop(caller); i++) texts.push(lauxlib.luaL_checkstring(caller, i));
    const finish = (resumed: LuaState): number => fileType.push(resumed, file);
    try {
      const written = file.source.write(Buffer.concat(texts));
      return written === undefined ? finish(caller) : scheduler.wait(caller, abandoning(file, written), finish);
    } catch (error) {
      if (error instanceof Error && 'code' in error) return pushFailure(caller, error.message);
      throw error;
    }
  }

  function close(caller: LuaState, file: LuaFile): number {
    if (file.isClosed) throw new LuaCallError('the file is closed already');
    return scheduler.wait(caller, abandoning(file, file.source.close()), (resumed, result) => {
      file.isClosed = true;
      return pushClosed(resumed, result);
    });
  }

  function pushLines(caller: LuaState, file: LuaFile, formats: readonly ReadFormat[]): number {
    lua.lua_pushcfunction(caller, (iteration) => read(iteration, file, formats));
    return 1;
  }

  const fileType: ObjectType<LuaFile> = new ObjectType<LuaFile>(L, {
    name: 'FILE*',
    text: (file) => (file.isClosed ? 'file (closed)' : 'file'),
    methods: {
      read: (caller, file, first) => read(caller, file, readFormats(caller, first)),
      write: write,
      lines: (caller, file, first) => pushLines(caller, file, readFormats(caller, first)),
      close: (caller, file) => close(caller, file),
      flush: (caller, file) => fileType.push(caller, file),
      setvbuf: (caller, file) => fileType.push(caller, file),
      seek: (caller, file, first) => {
        const whence = optionalText(caller, first) ?? 'cur';
        const offset =
          lua.lua_type(caller, first + 1) <= lua.LUA_TNIL ? 0 : lauxlib.luaL_checknumber(caller, first + 1);
        if (file.source.seek === undefined) return pushFailure(caller, 'this file cannot be positioned');
        lua.lua_pushnumber(caller, file.source.seek(whence, whence === 'cur' ? offset - file.buffered : offset));
        file.discard();
        return 1;
      },
    },
  });

  /** The file that an argument names or is. */
  function fileArgument(caller: LuaState, mode: string): LuaFile {
    return fileType.get(caller, 1) ?? new LuaFile(openFile(checkText(caller, 1), mode));
  }

  extendTable(L, 'io', {
    open: (caller) => {
      const path = checkText(caller, 1);
      try {
        return fileType.push(caller, new LuaFile(openFile(path, optionalText(caller, 2) ?? 'r')));
      } catch (error) {
        return pushFailure(caller, `${path}: ${failureText(error)}`);
      }
    },
    popen: (caller) =>
      fileType.push(caller, new LuaFile(openProcess(checkText(caller, 1), optionalText(caller, 2) ?? 'r'))),
    lines: (caller) => {
      if (lua.lua_type(caller, 1) <= lua.LUA_TNIL) return pushLines(caller, input, ['l']);
      try {
        return pushLines(caller, fileArgument(caller, 'r'), readFormats(caller, 2));
      } catch (error) {
        throw new LuaCallError(`io.lines: ${failureText(error)}`);
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

/** Makes the function at its first call: a stream that nobody reads must stay as it is. */
function lazily<T>(make: () => () => T): () => T {
  let made: (() => T) | undefined;
  return () => {
    made ??= make();
    return made();
  };
}
