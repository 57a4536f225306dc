// The error of a function that Lua calls, apart from everything else: lua_api.ts needs it before fengari is loaded.

/** Raised by a function that Lua calls: Lua sees the message with the position of the call. */
export class LuaCallError extends Error {}
