// fengari's strings: with a limit, counted, and hashed by their bytes. lua/lua_api.ts puts this into fengari.
//
// string.rep(), "..", table.concat() and string.gsub() build a string in one call, in which no hook fires: without a limit
// one of them could take all memory. The count makes the scheduler look at the memory in between: a thousand instructions,
// after which it looks by itself, could make a thousand strings of the largest size.
import { LuaCallError } from './call_error.ts';
import type { LuaState } from './lua_api.ts';

/** Of one string. A script that handles more at once reads and writes files in pieces. */
export const stringBytesMax = 64 * 1024 * 1024;

/** Bytes of strings that may be made before somebody looks at the memory. */
export const stringBytesPerLook = 8 * 1024 * 1024;

/** A string of fengari; `hash` is what tables find it by. */
interface LuaStringObject {
  hash: string | null;
  readonly realstring: Uint8Array;
}

/** What fengari/src/lstring.js exports: of that, what is changed here. */
export interface LuaStringModule {
  TString: new (L: LuaState, bytes: Uint8Array) => LuaStringObject;
  luaS_bless(L: LuaState, bytes: Uint8Array): LuaStringObject;
  luaS_new(L: LuaState, bytes: Uint8Array): LuaStringObject;
  luaS_hash(bytes: Uint8Array): string;
  luaS_hashlongstr(string: LuaStringObject): string;
}

let madeBytes = 0;
let madeAtSignal = 0;

/** Bytes of all strings made so far. */
export function stringBytesMade(): number {
  return madeBytes;
}

/** What is wrong with a string of that length; undefined where it may be made. */
export function stringProblem(bytes: number): string | undefined {
  if (bytes <= stringBytesMax) return undefined;
  const limit = `a script's strings may have ${stringBytesMax} (${stringBytesMax / 2 ** 20} MiB)`;
  return `not enough memory: a string of ${bytes} bytes; ${limit}`;
}

/** Throws where a string may not be that long. */
export function checkStringBytes(bytes: number): void {
  const problem = stringProblem(bytes);
  if (problem !== undefined) throw new LuaCallError(problem);
}

/** The bytes one after the other as one string; throws where that is too long for one. */
export function joinBytes(parts: readonly Uint8Array[]): Buffer {
  checkStringBytes(parts.reduce((sum, part) => sum + part.length, 0));
  return Buffer.concat(parts);
}

/** What tables find a string by: each byte a character, so that it also sorts as the bytes do. */
function hash(bytes: Uint8Array): string {
  // The sign keeps strings apart from other keys of fengari's tables. Its own hash, of hexadecimal digits without padding,
  // takes "\1\35" and "\18\3" for the same.
  return `|${Buffer.prototype.latin1Slice.call(bytes, 0, bytes.length)}`;
}

/** Changes the module, before any other has taken its functions. */
export function changeStrings(strings: LuaStringModule): void {
  const { TString } = strings;
  // Functions, because ltm.js calls them with `new`.
  strings.luaS_bless = function bless(L, bytes) {
    checkStringBytes(bytes.length);
    madeBytes += bytes.length;
    if (madeBytes - madeAtSignal >= stringBytesPerLook) {
      madeAtSignal = madeBytes;
      // The hook is called with the next instruction.
      L.hookcount = 1;
    }
    return new TString(L, bytes);
  };
  strings.luaS_new = function copy(L, bytes) {
    checkStringBytes(bytes.length);
    return strings.luaS_bless(L, new Uint8Array(bytes));
  };
  strings.luaS_hash = hash;
  strings.luaS_hashlongstr = (string) => {
    string.hash ??= hash(string.realstring);
    return string.hash;
  };
}

/** Takes the place of luaL_Buffer, in which fengari's library functions build strings: it does not grow for ever. */
export class BoundedBuffer {
  L: LuaState | null = null;
  n = 0;
  #bytes: Uint8Array = new Uint8Array();

  get b(): Uint8Array {
    return this.#bytes;
  }

  /** It doubles as it grows: up to twice a string's limit what it is to hold may still be allowed. */
  set b(bytes: Uint8Array) {
    if (bytes.length > 2 * stringBytesMax) checkStringBytes(bytes.length);
    this.#bytes = bytes;
  }
}
