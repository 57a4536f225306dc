// Objects of TypeScript in Lua: a userdata that holds the object, with methods, a text and nothing else to see.
import { pushText } from './convert.ts';
import { pushFunction, setFunctions } from './functions.ts';
import { type LuaFunction, type LuaState, lauxlib, lua } from './lua_api.ts';

/** Gets the object, and where its arguments begin. */
export type ObjectMethod<T> = (L: LuaState, self: T, firstArgument: number) => number;

/** A class of objects as Lua sees it. */
export interface ObjectClass<T extends object> {
  readonly name: string;
  readonly methods: Readonly<Record<string, ObjectMethod<T>>>;
  /** Methods of this object, beside those of all. */
  ownMethods?(self: T): Readonly<Record<string, ObjectMethod<T>>>;
  text(self: T): string;
}

/** The names of the methods that the object at this place of the stack has; none where something else is. */
export function methodNames(L: LuaState, index: number): string[] {
  const block = lua.lua_touserdata(L, index);
  return block !== null && 'methods' in block ? (block.methods?.() ?? []) : [];
}

/** One kind of objects in one interpreter. */
export class ObjectType<T extends object> {
  /** As in messages. */
  readonly name: string;
  readonly #name: Buffer;
  readonly #description: ObjectClass<T>;
  readonly #proxies = new WeakMap<T, (L: LuaState) => void>();

  constructor(L: LuaState, description: ObjectClass<T>) {
    this.name = description.name;
    this.#description = description;
    this.#name = Buffer.from(`bricks.${description.name}`);
    lauxlib.luaL_newmetatable(L, this.#name);
    setFunctions(L, {
      __index: (caller) => this.#index(caller),
      __tostring: (caller) => {
        const self = this.get(caller, 1);
        pushText(caller, self === undefined ? description.name : description.text(self));
        return 1;
      },
    });
    pushText(L, description.name);
    lua.lua_setfield(L, -2, Buffer.from('__metatable'));
    pushText(L, description.name);
    lua.lua_setfield(L, -2, Buffer.from('__name'));
    lua.lua_pop(L, 1);
  }

  /** Pushes the object: always the same userdata for the same object. */
  push(L: LuaState, object: T): number {
    const known = this.#proxies.get(object);
    if (known !== undefined) {
      known(L);
      return 1;
    }
    const methods = (): string[] => Object.keys(this.#methods(object));
    Object.assign(lua.lua_newuserdata(L, 0), { object, methods });
    lauxlib.luaL_setmetatable(L, this.#name);
    this.#proxies.set(object, lua.lua_toproxy(L, -1));
    return 1;
  }

  #methods(object: T): Readonly<Record<string, ObjectMethod<T>>> {
    return { ...this.#description.ownMethods?.(object), ...this.#description.methods };
  }

  /** The object at this place of the stack, undefined where something else is. */
  get(L: LuaState, index: number): T | undefined {
    return lauxlib.luaL_testudata(L, index, this.#name)?.object as T | undefined;
  }

  /** Pushes a method that knows its object: `pe.show_stats()` works as `pe:show_stats()` does. */
  #index(L: LuaState): number {
    const bound = this.get(L, 1);
    const name = lua.lua_type(L, 2) === lua.LUA_TSTRING ? Buffer.from(lauxlib.luaL_checkstring(L, 2)).toString() : '';
    const methods = bound === undefined ? {} : this.#methods(bound);
    const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
    if (bound === undefined || method === undefined) {
      lua.lua_pushnil(L);
      return 1;
    }
    const call: LuaFunction = (caller) => {
      const self = this.get(caller, 1);
      return method(caller, self ?? bound, self === undefined ? 1 : 2);
    };
    pushFunction(L, call);
    return 1;
  }
}
