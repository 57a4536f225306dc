// A Lua value read for printing: what result_text.ts and json_text.ts make texts of.
//
// No code of the user runs meanwhile but __tostring(), within the chunk's slices. However large, deep or knotted a value
// is, the tree is small: reading stops where the text would be too long.
import { pushBytes } from './convert.ts';
import { type LuaState, lauxlib, lua } from './lua_api.ts';

/** A key of a table, or a value that has no parts. `text` is what tostring() says of a function, an engine, ... */
export type Leaf =
  | { readonly kind: 'nil' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'string' | 'text'; readonly bytes: Uint8Array };

export interface Entry {
  readonly key: Leaf;
  readonly value: ValueTree;
}

/** A table with its keys in order: numbers, strings, the rest. */
export interface TableTree {
  readonly kind: 'table';
  readonly entries: readonly Entry[];
  /** How many of the first keys are 1, 2, 3, ... */
  readonly sequence: number;
  /** Entries that were left out. */
  readonly cut: number;
}

/** cycle: a table inside itself; deep: one that is nested too deeply. */
export type ValueTree = Leaf | TableTree | { readonly kind: 'cycle' } | { readonly kind: 'deep' };

export interface TreeLimits {
  /** Bytes that the text may have: reading stops where it would surely have more. */
  readonly bytes: number;
  readonly depth: number;
  /** True where each entry may stand on a line of its own, with its key: reading stops where it might have more. */
  readonly hasLines?: boolean;
}

/** A key of a table that is being read, and how it is pushed again. */
interface Key {
  readonly leaf: Leaf;
  readonly push: (L: LuaState) => void;
}

/** Bytes of text that an entry takes at least: a value and a comma; and with a line of its own: "[k] = v,\n". */
const entryBytes = 2;
const lineBytes = 8;

/** Entries beyond those that are shown are counted up to here. */
const countMax = 100_000;

const kindOrder: readonly Leaf['kind'][] = ['number', 'string', 'boolean', 'text', 'nil'];

function compareKeys({ leaf: a }: Key, { leaf: b }: Key): number {
  if (a.kind === 'number' && b.kind === 'number') return a.value - b.value;
  if (a.kind === b.kind && 'bytes' in a && 'bytes' in b) return Buffer.compare(a.bytes, b.bytes);
  return kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind);
}

export class TreeReader {
  readonly #L: LuaState;
  readonly #depthMax: number;
  readonly #hasLines: boolean;
  #bytesLeft: number;
  #isCut = false;
  /** The tables that the value being read is in. */
  readonly #open = new Set<object>();

  constructor(L: LuaState, limits: TreeLimits) {
    this.#L = L;
    this.#depthMax = limits.depth;
    this.#hasLines = limits.hasLines ?? false;
    this.#bytesLeft = limits.bytes;
  }

  /** True once something was left out. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Reads the value at this place of the stack. */
  read(index: number): ValueTree {
    const L = this.#L;
    const isPlainTable = lua.lua_type(L, index) === lua.LUA_TTABLE && !this.#hasText(index);
    if (!isPlainTable) return this.#leaf(index);
    const table = lua.lua_topointer(L, index);
    if (table === null || this.#open.has(table)) return { kind: 'cycle' };
    if (this.#open.size >= this.#depthMax) {
      this.#isCut = true;
      return { kind: 'deep' };
    }
    this.#open.add(table);
    lua.lua_checkstack(L, 4);
    lua.lua_pushvalue(L, index);
    const tree = this.#table();
    lua.lua_pop(L, 1);
    this.#open.delete(table);
    return tree;
  }

  #hasText(index: number): boolean {
    if (lauxlib.luaL_getmetafield(this.#L, index, Buffer.from('__tostring')) === lua.LUA_TNIL) return false;
    lua.lua_pop(this.#L, 1);
    return true;
  }

  #leaf(index: number): Leaf {
    const L = this.#L;
    const type = lua.lua_type(L, index);
    this.#bytesLeft -= entryBytes;
    if (type === lua.LUA_TNIL) return { kind: 'nil' };
    if (type === lua.LUA_TBOOLEAN) return { kind: 'boolean', value: lua.lua_toboolean(L, index) };
    if (type === lua.LUA_TNUMBER) {
      const value = lua.lua_tonumber(L, index);
      if (this.#hasLines) this.#bytesLeft -= String(value).length;
      return { kind: 'number', value };
    }
    const bytes = lauxlib.luaL_tolstring(L, index);
    lua.lua_pop(L, 1);
    this.#bytesLeft -= bytes.length;
    return { kind: type === lua.LUA_TSTRING ? 'string' : 'text', bytes };
  }

  /** Reads the table on top of the stack. */
  #table(): TableTree {
    const L = this.#L;
    const { keys, cut } = this.#keys();
    keys.sort(compareKeys);
    const firstOther = keys.findIndex(({ leaf }, i) => leaf.kind !== 'number' || leaf.value !== i + 1);
    const entries: Entry[] = [];
    const indentedBytes = this.#hasLines ? lineBytes + 2 * this.#open.size : 0;
    for (const { leaf, push } of keys) {
      if (this.#bytesLeft <= 0) break;
      this.#bytesLeft -= indentedBytes;
      if (this.#hasLines && 'bytes' in leaf) this.#bytesLeft -= leaf.bytes.length;
      push(L);
      lua.lua_rawget(L, -2);
      entries.push({ key: leaf, value: this.read(-1) });
      lua.lua_pop(L, 1);
    }
    const left = cut + keys.length - entries.length;
    if (left > 0) this.#isCut = true;
    const sequence = Math.min(firstOther < 0 ? keys.length : firstOther, entries.length);
    return { kind: 'table', entries, sequence, cut: left };
  }

  /** The keys that there is room for, and how many others there are. */
  #keys(): { keys: Key[]; cut: number } {
    const L = this.#L;
    const keys: Key[] = [];
    let cut = 0;
    const keysMax = Math.max(0, this.#bytesLeft / (this.#hasLines ? lineBytes : entryBytes));
    lua.lua_pushnil(L);
    while (lua.lua_next(L, -2) !== 0) {
      lua.lua_pop(L, 1);
      if (keys.length < keysMax) keys.push(this.#key());
      else if (++cut >= countMax) {
        lua.lua_pop(L, 1);
        break;
      }
    }
    return { keys, cut };
  }

  /** The key on top of the stack. */
  #key(): Key {
    const L = this.#L;
    const bytesLeft = this.#bytesLeft;
    const leaf = this.#leaf(-1);
    // It counts where its entry is shown.
    this.#bytesLeft = bytesLeft;
    switch (leaf.kind) {
      case 'number':
        return { leaf, push: (to) => lua.lua_pushnumber(to, leaf.value) };
      case 'string':
        return { leaf, push: (to) => pushBytes(to, leaf.bytes) };
      case 'boolean':
        return { leaf, push: (to) => lua.lua_pushboolean(to, leaf.value) };
      default:
        return { leaf, push: lua.lua_toproxy(L, -1) };
    }
  }
}
