// Counters under the names that Lua has for them: in the status file and the log, which programs read as well.
import { snakeCase } from '../../lua/convert.ts';

/** The same value with `rx_packets` for `rxPackets`. */
export function plainNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainNames);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [snakeCase(name), plainNames(item)]));
}
