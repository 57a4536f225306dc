// Finds and lays out help: lists as packet-bricks prints them, and each function, brick and driver by its name.
//
// Called by the help() of every global table and object, and by the global help (lua/lib_help.ts).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bricks } from '../../bricks/registry.ts';
import { drivers } from '../../engine/drivers.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';
import { allowedText, type OptionSchemas, type OptionValue } from '../../engine/options.ts';
import { packageRoot } from '../../package_info.ts';
import { LuaCallError } from '../call_error.ts';
import { brickHelp } from './brick_help.ts';
import { bricksHelp } from './bricks_help.ts';
import type { HelpTable } from './entry.ts';
import { pktEngineHelp } from './pkt_engine_help.ts';

/** Every table with help, by the name of the global. */
export const helpTables: ReadonlyMap<string, HelpTable> = new Map(
  [bricksHelp, pktEngineHelp, brickHelp].map((table) => [table.name, table]),
);

function indented(text: string, by: string): string {
  return text.trimEnd().replaceAll(/^(?=.)/gm, by);
}

/** The list under its title, in the layout of packet-bricks. */
export function listText(table: HelpTable): string {
  const [, second = ''] = Object.keys(table.entries);
  const lines = [
    `${table.title} Commands:`,
    ...Object.values(table.entries).map(({ signature }) => `    ${signature}`),
    `${table.footer ?? ''}  ${table.name}.help("${second}") shows what one of them does.`,
  ];
  return `${lines.join('\n')}\n`;
}

function functionText(table: HelpTable, name: string): string | undefined {
  if (!Object.hasOwn(table.entries, name)) return undefined;
  const { signature = '', text = '', example = '' } = table.entries[name] ?? {};
  const { object } = table;
  const isMethod = object !== undefined && !object.ownFunctions.includes(name);
  const caller = isMethod ? `${object.variable}:` : `${table.name}.`;
  return `${caller}${signature}\n  ${text}\n  Example:\n${indented(example, '    ')}\n`;
}

/** A default as a user would write it: `1` for true, as the allowed values say it. */
function defaultText(value: OptionValue): string {
  if (typeof value === 'boolean') return String(Number(value));
  return value === '' ? '""' : String(value);
}

function optionsText(schemas: OptionSchemas): string {
  const lines = Object.entries(schemas).map(([name, schema]) => {
    const unit = schema.unit === undefined ? '' : ` ${schema.unit}`;
    const value = schema.default === undefined ? '' : ` = ${defaultText(schema.default)}${unit}`;
    return `    ${name}${value} (${allowedText(schema)}): ${schema.text}\n`;
  });
  return lines.length === 0 ? '  Options: none\n' : `  Options:\n${lines.join('')}`;
}

function commandsText(commands: NonNullable<BrickDescriptor['commands']>): string {
  const lines = Object.values(commands).map(({ signature, text }) => `    ${signature}: ${text}\n`);
  return lines.length === 0 ? '' : `  Methods of its own, also while it runs:\n${lines.join('')}`;
}

function countText({ min, max }: { readonly min: number; readonly max: number }): string {
  return min === max ? String(min) : `${min} to ${max}`;
}

/** The example in the brick's own folder. */
function brickExample(name: string): string {
  const folder = name.replaceAll(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
  const path = join(packageRoot, 'bricks', folder, 'example.lua');
  return existsSync(path) ? `  Example:\n${indented(readFileSync(path, 'utf8'), '    ')}\n` : '';
}

function brickText(descriptor: BrickDescriptor): string {
  const { name, text, options, argument, inputs, outputs, commands = {} } = descriptor;
  const counts = `  Inputs: ${countText(inputs)}. Outputs: ${countText(outputs)}.\n`;
  const main = argument === undefined ? '' : `  Brick.new("${name}", x) sets ${argument} to x.\n`;
  return `${name}: ${text}\n${counts}${optionsText(options)}${main}${commandsText(commands)}${brickExample(name)}`;
}

function driverText({ name, text, input, output, options }: (typeof drivers)[number]): string {
  const ways = [input ? 'input' : '', output ? 'output' : ''].filter((way) => way !== '').join(' and ');
  return `${name}: ${text}\n  As ${ways}.\n${optionsText(options)}`;
}

/** What a brick or a driver is, undefined where nothing has that name. */
function thingText(name: string): string | undefined {
  const brick = bricks.get(name);
  if (brick !== undefined) return brickText(brick);
  const driver = drivers.find((candidate) => candidate.name === name);
  return driver === undefined ? undefined : driverText(driver);
}

/** `TABLE.help(topic)`: a function of that table, a brick, or a driver. Throws where there is none. */
export function tableHelp(table: HelpTable, topic: string | undefined): string {
  if (topic === undefined) return listText(table);
  const text = functionText(table, topic) ?? thingText(topic);
  if (text !== undefined) return text;
  throw new LuaCallError(
    `${table.name}.help: nothing about "${topic}"; have: ${Object.keys(table.entries).join(', ')}`,
  );
}

/** Help on a brick: as that of `Brick`, and on the methods that bricks of this type have besides. */
export function objectHelp(table: HelpTable, { commands = {} }: BrickDescriptor, topic: string | undefined): string {
  if (topic === undefined) return listText(table) + commandsText(commands);
  const command = Object.hasOwn(commands, topic) ? commands[topic] : undefined;
  return command === undefined ? tableHelp(table, topic) : `${command.signature}: ${command.text}\n`;
}

/** Every topic of {@link topicHelp} that is one word, or a table's: what to say where there is nothing. */
const topics = [...helpTables.keys(), ...bricks.keys(), ...drivers.map(({ name }) => name)];

/** Every topic for completion: tables, the functions of each, bricks and drivers. */
export function helpTopics(): string[] {
  const functions = [...helpTables.values()].flatMap(({ name, entries }) =>
    Object.keys(entries).map((entry) => `${name}.${entry}`),
  );
  return [...topics, ...functions];
}

/** `help(topic)`: "BRICKS", "BRICKS.sleep", "pe:start", "sleep", "LoadBalancer", "pcap". Throws where there is nothing. */
export function topicHelp(topic: string): string {
  const table = helpTables.get(topic);
  if (table !== undefined) return listText(table);
  const [, owner, name = ''] = /^(?:(\w+)[.:])?(\w+)$/.exec(topic) ?? [];
  const isOwner = ({ name: tableName, object }: HelpTable): boolean =>
    owner === undefined || owner === tableName || owner === object?.variable;
  const candidates = [...helpTables.values()].filter(isOwner);
  const texts = candidates.map((candidate) => functionText(candidate, name)).filter((text) => text !== undefined);
  if (texts.length > 0) return texts.join('\n');
  const text = owner === undefined ? thingText(name) : undefined;
  if (text !== undefined) return text;
  throw new LuaCallError(
    `help: nothing about "${topic}"; have: ${topics.join(', ')}, and their functions: "BRICKS.sleep"`,
  );
}

/** What `help` says where it is merely typed. */
export const overviewText = [
  'Lua 5.3, with what scripts of packet-bricks expect. Added are:',
  ...[...helpTables.values()].map(({ name, text }) => `    ${name.padEnd(12)}${text}`),
  'Ask further:',
  '    help(BRICKS), help("BRICKS.sleep")   the functions of a table, one function',
  `    help("LoadBalancer")                 a brick: ${[...bricks.keys()].join(', ')}`,
  `    help("pcap")                         a port driver: ${drivers.map(({ name }) => name).join(', ')}`,
  '    help(pe)                             an engine or a brick that there is',
].join('\n');
