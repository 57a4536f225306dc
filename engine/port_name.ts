// Port names: [driver:]name[{n | }n][?key=value&key=value]
import { BricksError } from './errors.ts';

/** Drivers that a name can say although this build does not have them: the error then says so. */
const reservedDrivers = ['netmap', 'xdp', 'dpdk', 'memif'];

/** A name taken apart. */
export interface PortName {
  /** As the user wrote it. */
  readonly text: string;
  /** Undefined where the name does not say one. */
  readonly driver: string | undefined;
  /** Without driver, pipe number and options. */
  readonly name: string;
  /** Set for a pipe: `{` the engine's end, `}` the application's end. */
  readonly pipe: { readonly end: '{' | '}'; readonly number: number } | undefined;
  /** In the order written. */
  readonly options: Readonly<Record<string, string>>;
}

function parseOptions(text: string, query: string): Record<string, string> {
  const options = new Map<string, string>();
  for (const pair of query.split('&')) {
    const [, key, value] = /^(\w+)=(.*)$/.exec(pair) ?? [];
    if (key === undefined || value === undefined) {
      throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: `"${pair}" is not key=value` });
    }
    if (options.has(key)) {
      throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: `option "${key}" is given twice` });
    }
    options.set(key, value);
  }
  return Object.fromEntries(options);
}

/**
 * Takes a port's name apart.
 *
 * @param drivers the names before a colon that mean a driver
 * @param isPath  true where a bare name is a file's: it may hold colons and braces
 */
export function parsePortName(text: string, drivers: readonly string[], isPath = false): PortName {
  if (text === '') throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: 'is empty' });
  if (text.includes('\0')) throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: 'holds a NUL byte' });
  const known = [...drivers, ...reservedDrivers];
  const [, prefix, afterPrefix] = /^([A-Za-z]\w*):(.*)$/s.exec(text) ?? [];
  const driver = prefix !== undefined && known.includes(prefix) ? prefix : undefined;
  if (prefix !== undefined && driver === undefined && !isPath) {
    throw BricksError.of('DRIVER_UNKNOWN', { port: text, driver: prefix, have: drivers.join(', ') });
  }
  const rest = driver === undefined ? text : (afterPrefix ?? '');
  const question = rest.lastIndexOf('?');
  const base = question < 0 ? rest : rest.slice(0, question);
  const options = question < 0 ? {} : parseOptions(text, rest.slice(question + 1));
  const namesFile = driver === 'pcap' || (driver === undefined && isPath);
  const [, stem, end, digits = ''] = (namesFile ? null : /^(.*?)([{}])(.*)$/s.exec(base)) ?? [];
  if (stem === undefined) return { text, driver, name: base, pipe: undefined, options };
  if (!/^\d{1,6}$/.test(digits)) {
    const problem = 'the brace needs a number behind it, and nothing else';
    throw BricksError.of('PORT_NAME_INVALID', { port: text, problem });
  }
  if (!/^[A-Za-z0-9_.:-]+$/.test(stem)) {
    const problem = "a pipe's name holds letters, digits and _ . : - only";
    throw BricksError.of('PORT_NAME_INVALID', { port: text, problem });
  }
  return { text, driver, name: stem, pipe: { end: end === '{' ? '{' : '}', number: Number(digits) }, options };
}

/** The name of a pipe as applications use it: `eth3}0`. */
export function pipeName(port: PortName): string {
  return `${port.name}}${port.pipe?.number}`;
}
