// Port names: [driver:]name[{n | }n][?key=value&key=value]
import { BricksError } from './errors.ts';

/** What the names of a driver's ports are of: enum pb_port_names in native/ports/port.h says what each means. */
export type NamedThing = 'interface' | 'new interface' | 'device' | 'file' | 'pipe' | 'nothing';

/** What must be known of a driver to read the names of its ports. */
export interface NamingDriver {
  readonly name: string;
  readonly names: NamedThing;
}

/** Names that may hold anything: colons and braces too. */
const freeText: readonly NamedThing[] = ['device', 'file'];

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
 * @param drivers   those that a name can say before a colon
 * @param ownDriver the one that a name without means, where that is known
 */
export function parsePortName(text: string, drivers: readonly NamingDriver[], ownDriver?: string): PortName {
  if (text === '') throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: 'is empty' });
  if (text.includes('\0')) throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: 'holds a NUL byte' });
  const isFreeText = (name: string | undefined): boolean =>
    drivers.some((driver) => driver.name === name && freeText.includes(driver.names));
  const [, prefix, afterPrefix] = /^([A-Za-z]\w*):(.*)$/s.exec(text) ?? [];
  const driver = drivers.find(({ name }) => name === prefix)?.name;
  if (prefix !== undefined && driver === undefined && !isFreeText(ownDriver)) {
    const have = drivers.map(({ name }) => name).join(', ');
    throw BricksError.of('DRIVER_UNKNOWN', { port: text, driver: prefix, have });
  }
  const rest = driver === undefined ? text : (afterPrefix ?? '');
  const question = rest.lastIndexOf('?');
  const base = question < 0 ? rest : rest.slice(0, question);
  const options = question < 0 ? {} : parseOptions(text, rest.slice(question + 1));
  const [, stem, end, digits = ''] = (isFreeText(driver ?? ownDriver) ? null : /^(.*?)([{}])(.*)$/s.exec(base)) ?? [];
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
