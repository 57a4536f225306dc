// Checks the arguments of a function that Lua calls: what is wrong is named with the function, the place and the type.
import { LuaCallError } from './call_error.ts';
import { displayText, toText, typeName } from './convert.ts';
import { type LuaState, lua } from './lua_api.ts';
import type { ObjectType } from './object.ts';

type PlainValue = string | number | boolean;

/** What a table of options may hold. */
type TableValue = PlainValue | readonly number[];

export class Arguments {
  readonly #L: LuaState;
  readonly #function: string;
  readonly #first: number;

  /** @param first where on the stack argument 1 is: 2 where an object stands before it */
  constructor(L: LuaState, name: string, first = 1) {
    this.#L = L;
    this.#function = name;
    this.#first = first;
  }

  /** How many arguments were given. */
  get count(): number {
    return Math.max(0, lua.lua_gettop(this.#L) - this.#first + 1);
  }

  #index(argument: number): number {
    return this.#first + argument - 1;
  }

  #type(argument: number): number {
    return argument > this.count ? lua.LUA_TNONE : lua.lua_type(this.#L, this.#index(argument));
  }

  /** Raises "PktEngine.new: argument 1 must be a string (the engine's name), got nil". */
  fail(argument: number, expected: string, meaning: string): never {
    const type = this.#type(argument);
    // A method called without its arguments has "no value" there; for users that is nil as well.
    let got = type === lua.LUA_TNONE ? 'nil' : typeName(this.#L, this.#index(argument));
    if (type === lua.LUA_TNUMBER) got += ` ${displayText(this.#L, this.#index(argument))}`;
    if (type === lua.LUA_TSTRING) got += ` ${JSON.stringify(displayText(this.#L, this.#index(argument)))}`;
    throw new LuaCallError(`${this.#function}: argument ${argument} must be ${expected} (${meaning}), got ${got}`);
  }

  has(argument: number): boolean {
    return this.#type(argument) > lua.LUA_TNIL;
  }

  string(argument: number, meaning: string): string {
    if (this.#type(argument) !== lua.LUA_TSTRING) this.fail(argument, 'a string', meaning);
    return toText(lua.lua_tolstring(this.#L, this.#index(argument)) ?? new Uint8Array());
  }

  number(argument: number, meaning: string): number {
    if (this.#type(argument) !== lua.LUA_TNUMBER) this.fail(argument, 'a number', meaning);
    return lua.lua_tonumber(this.#L, this.#index(argument));
  }

  integer(argument: number, meaning: string): number {
    if (this.#type(argument) !== lua.LUA_TNUMBER) this.fail(argument, 'a whole number', meaning);
    const n = lua.lua_tonumber(this.#L, this.#index(argument));
    if (!Number.isInteger(n)) this.fail(argument, 'a whole number', meaning);
    return n;
  }

  optionalInteger(argument: number, meaning: string): number | undefined {
    return this.has(argument) ? this.integer(argument, meaning) : undefined;
  }

  /** The arguments from this one on: at least one string. */
  strings(argument: number, meaning: string): string[] {
    const strings = [this.string(argument, meaning)];
    for (let next = argument + 1; next <= this.count; next++) strings.push(this.string(next, meaning));
    return strings;
  }

  object<T extends object>(argument: number, type: ObjectType<T>, meaning: string): T {
    const object = this.#type(argument) === lua.LUA_TUSERDATA ? type.get(this.#L, this.#index(argument)) : undefined;
    return object ?? this.fail(argument, `a ${type.name}`, meaning);
  }

  /** The arguments from this one on: at least one object of that type. */
  objects<T extends object>(argument: number, type: ObjectType<T>, meaning: string): T[] {
    const objects = [this.object(argument, type, meaning)];
    for (let next = argument + 1; next <= this.count; next++) objects.push(this.object(next, type, meaning));
    return objects;
  }

  /** A table of names and values. */
  table(argument: number, meaning: string): Record<string, TableValue> {
    const L = this.#L;
    const index = this.#index(argument);
    const expected = 'a table of names and strings, numbers, booleans or lists of numbers';
    const values: Record<string, TableValue> = {};
    lua.lua_pushnil(L);
    while (lua.lua_next(L, index) !== 0) {
      const value = tableValue(L, -1);
      if (value === undefined || lua.lua_type(L, -2) !== lua.LUA_TSTRING) {
        lua.lua_pop(L, 2);
        this.fail(argument, expected, meaning);
      }
      values[displayText(L, -2)] = value;
      lua.lua_pop(L, 1);
    }
    return values;
  }

  /** A plain value, or tables of them within tables; undefined where it is left out. Sequences are arrays. */
  plain(argument: number, meaning: string): unknown {
    if (!this.has(argument)) return undefined;
    const value = plainTree(this.#L, this.#index(argument));
    return value ?? this.fail(argument, 'a number, a string, or a table of them', meaning);
  }

  /** A plain value or a table of names and values; undefined where it is left out. */
  value(argument: number, meaning: string): PlainValue | Record<string, TableValue> | undefined {
    if (!this.has(argument)) return undefined;
    if (this.#type(argument) === lua.LUA_TTABLE) return this.table(argument, meaning);
    return plainValue(this.#L, this.#index(argument)) ?? this.fail(argument, 'a number, a string or a table', meaning);
  }
}

/** How deep tables may stand in tables of an argument. */
const depthMax = 8;

/** A plain value, or a table of them as an array (keys 1, 2, 3, ...) or an object; undefined where something is not plain. */
function plainTree(L: LuaState, index: number, depth = 0): unknown {
  if (lua.lua_type(L, index) !== lua.LUA_TTABLE) return plainValue(L, index);
  if (depth === depthMax || lua.lua_checkstack(L, 4) === false) return undefined;
  const entries = new Map<string | number, unknown>();
  const table = index > 0 ? index : lua.lua_gettop(L) + index + 1;
  lua.lua_pushnil(L);
  while (lua.lua_next(L, table) !== 0) {
    const key = plainValue(L, -2);
    const value = plainTree(L, -1, depth + 1);
    if (value === undefined || key === undefined || typeof key === 'boolean') {
      lua.lua_pop(L, 2);
      return undefined;
    }
    entries.set(key, value);
    lua.lua_pop(L, 1);
  }
  const isSequence =
    entries.size > 0 && Array.from({ length: entries.size }, (_, i) => entries.has(i + 1)).every(Boolean);
  if (isSequence) return Array.from({ length: entries.size }, (_, i) => entries.get(i + 1));
  return Object.fromEntries([...entries].map(([key, value]) => [String(key), value]));
}

function tableValue(L: LuaState, index: number): TableValue | undefined {
  const value = plainTree(L, index, depthMax - 1);
  if (!Array.isArray(value)) return typeof value === 'object' ? undefined : (value as PlainValue | undefined);
  return value.every((item) => typeof item === 'number') ? value : undefined;
}

function plainValue(L: LuaState, index: number): PlainValue | undefined {
  const type = lua.lua_type(L, index);
  if (type === lua.LUA_TSTRING) return displayText(L, index);
  if (type === lua.LUA_TNUMBER) return lua.lua_tonumber(L, index);
  return type === lua.LUA_TBOOLEAN ? lua.lua_toboolean(L, index) : undefined;
}
