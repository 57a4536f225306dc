// What the word before the cursor can become: names of Lua, and inside a string names of bricks, ports, engines, files.
import { readdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { bricks } from '../../bricks/registry.ts';
import { drivers, interfaceDrivers } from '../../engine/drivers.ts';
import { PktEngine } from '../../engine/pkt_engine.ts';
import { helpTopics } from '../../lua/help/help.ts';
import type { Interpreter } from '../../lua/interpreter.ts';
import { logLevels } from '../protocol/messages.ts';
import type { Completion } from './session.ts';

/** More than anyone reads. */
const matchesMax = 200;

/** Longer names are not typed: they are data that is kept by name. */
const nameCharactersMax = 200;

/** The functions whose string arguments are known, and what those can be. Others take ports. */
const stringArguments: readonly { readonly call: RegExp; readonly names: () => string[] }[] = [
  { call: /Brick\.(new|help)\s*\(\s*$/, names: () => [...bricks.keys()] },
  { call: /\.retrieve\s*\(\s*$/, names: () => PktEngine.all().map((engine) => engine.name) },
  { call: /\.set_driver\s*\(\s*$/, names: () => [...interfaceDrivers] },
  { call: /\.set_log_level\s*\(\s*$/, names: () => [...logLevels] },
  { call: /(^|[^.:\w])help\s*\(\s*$/, names: () => helpTopics() },
];

/** Interfaces of this host: also those that are down. */
function interfaces(): string[] {
  try {
    return readdirSync('/sys/class/net');
  } catch {
    return Object.keys(networkInterfaces());
  }
}

/** The pipes of all engines, by both ends: the engine's, where it has one of its own, and the application's. */
function pipes(): string[] {
  return PktEngine.all()
    .flatMap(({ plan }) => [...(plan?.outputs ?? []), ...(plan?.inputs ?? [])])
    .filter(({ names }) => names === 'pipe')
    .flatMap(({ text, name }) => [text.replace(/\?.*/, ''), name.replace('{', '}')]);
}

function ports(): string[] {
  const names = interfaces();
  const said = interfaceDrivers.flatMap((driver) => names.map((name) => `${driver}:${name}`));
  return [...names, ...said, ...pipes(), ...drivers.map(({ name }) => `${name}:`)];
}

/** Paths that begin like this one, folders with a slash. */
function paths(start: string): string[] {
  const [prefix = '', folder = '', name = ''] = /^(?:pcap:)?(.*\/)?([^/]*)$/.exec(start) ?? [];
  const before = prefix.slice(0, prefix.length - name.length);
  try {
    return readdirSync(folder === '' ? '.' : folder, { withFileTypes: true })
      .filter((entry) => entry.name.startsWith(name))
      .map((entry) => `${before}${entry.name}${entry.isDirectory() ? '/' : ''}`);
  } catch {
    return [];
  }
}

/** Where the string begins that the line ends in; undefined outside of strings. */
function openString(line: string): number | undefined {
  let quote = '';
  let from = 0;
  for (let i = 0; i < line.length; i++) {
    const letter = line[i] ?? '';
    if (quote !== '' && letter === '\\') i++;
    else if (quote === '' && (letter === '"' || letter === "'")) [quote, from] = [letter, i + 1];
    else if (letter === quote) quote = '';
  }
  return quote === '' ? undefined : from;
}

function completeString(line: string, from: number): Completion {
  const word = line.slice(from);
  const before = line.slice(0, from - 1);
  const known = stringArguments.find(({ call }) => call.test(before));
  const names = known === undefined ? ports() : known.names();
  const matches = names.filter((name) => name.startsWith(word));
  const isPath = known === undefined && (word.includes('/') || /(dofile|loadfile|io\.\w+)\s*\(\s*$/.test(before));
  return { matches: [...new Set([...matches, ...(isPath ? paths(word) : [])])], word };
}

/** Completes the end of a line. Runs no Lua code. */
export function complete(interpreter: Interpreter, line: string): Completion {
  const { matches, word } = completeAny(interpreter, line);
  return { matches: matches.filter((match) => match.length <= nameCharactersMax).slice(0, matchesMax), word };
}

function completeAny(interpreter: Interpreter, line: string): Completion {
  const from = openString(line);
  if (from !== undefined) return completeString(line, from);
  // What a call or an index gives is not known before it is run.
  if (/[)\]"'][.:]\w*$/.test(line)) return { matches: [], word: '' };
  const [word = ''] = /[\w.:]*$/.exec(line) ?? [];
  const [, owner = '', separator = '', start = ''] = /^(?:(.*)([.:]))?(\w*)$/.exec(word) ?? [];
  const names = interpreter.fieldNames(owner === '' ? [] : owner.split(/[.:]/));
  const matches = names.filter((name) => name.startsWith(start)).map((name) => owner + separator + name);
  return { matches, word };
}
