// What a chunk returned, as text for people or for programs. Called by the scheduler, within the chunk's slices.
import { LuaCallError } from './call_error.ts';
import { jsonText } from './json_text.ts';
import { type LuaState, lua } from './lua_api.ts';
import { numberText } from './number_text.ts';
import { resultText } from './result_text.ts';
import type { ResultFormat, ReturnedValue } from './task.ts';
import { cutText, valuesBytesMax } from './text_limit.ts';
import { TreeReader } from './value_tree.ts';

/** More are not shown: of so many nobody looks at each. */
const valuesMax = 4096;

/** Of a table's text, and how deep it goes. */
const tableBytesMax = 64 * 1024;
const textDepthMax = 8;

/** JSON is for programs: nothing is left out, and nesting has a limit only because reading it takes stack. */
const jsonDepthMax = 100;

function valueText(L: LuaState, index: number, bytesMax: number): string {
  const type = lua.lua_type(L, index);
  if (type === lua.LUA_TSTRING) return cutText(lua.lua_tolstring(L, index) ?? new Uint8Array(), bytesMax);
  // Most results: nothing to walk through.
  if (type === lua.LUA_TNUMBER) return numberText(lua.lua_tonumber(L, index));
  const bytes = Math.min(tableBytesMax, bytesMax);
  return resultText(new TreeReader(L, { bytes, depth: textDepthMax, hasLines: true }).read(index), bytes);
}

function valueJson(L: LuaState, index: number, bytesMax: number): string {
  const reader = new TreeReader(L, { bytes: bytesMax, depth: jsonDepthMax });
  const text = jsonText(reader.read(index));
  if (!reader.isCut && Buffer.byteLength(text) <= bytesMax) return text;
  throw new LuaCallError(
    `the result as JSON is longer than ${valuesBytesMax} bytes, or nested deeper than ${jsonDepthMax} tables; return less of it`,
  );
}

/** The values on the stack. Throws where JSON has no room for them. */
export function readResults(L: LuaState, format: ResultFormat): ReturnedValue[] {
  const count = lua.lua_gettop(L);
  const values: ReturnedValue[] = [];
  let bytesLeft = valuesBytesMax;
  const add = (text: string, isObject: boolean): void => {
    bytesLeft -= Buffer.byteLength(text);
    values.push({ text, isObject });
  };
  if (format === 'json' && count > valuesMax) {
    throw new LuaCallError(`${count} values as JSON; at most ${valuesMax} can be returned: return them in a table`);
  }
  // Room for the last line, that says that there are more.
  const textMin = 64;
  for (let i = 1; i <= count; i++) {
    if (format === 'text' && (i > valuesMax || bytesLeft < 2 * textMin)) {
      add(`... (cut: ${count - i + 1} more values)`, false);
      break;
    }
    const text = format === 'json' ? valueJson(L, i, bytesLeft) : valueText(L, i, bytesLeft - textMin);
    add(text, lua.lua_type(L, i) === lua.LUA_TUSERDATA);
  }
  return values;
}
