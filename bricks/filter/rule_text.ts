// A rule as users write it, into a rule as the data plane takes it, and back: struct pb_rule of rules.h. Pure.
import { isIPv4, isIPv6 } from 'node:net';
import { abi } from '../../engine/abi.ts';
import { BricksError, shownValue } from '../../engine/errors.ts';
import { ipv4Text, ipv6Text } from '../../engine/pipe/address_text.ts';

/** A rule in force, as `rules()` lists it: what was asked for, and what it has done. */
export interface ListedRule {
  readonly id: number;
  readonly type: string;
  /** Of types "ip" and "mac". */
  readonly address?: string;
  readonly src?: string;
  readonly dst?: string;
  readonly proto?: string;
  readonly sport?: number;
  readonly dport?: number;
  readonly action: string;
  readonly output?: number;
  readonly priority: number;
  /** When it came or comes into force, in seconds since 1970. */
  readonly start: number;
  /** How long it is in force; missing: without end. */
  readonly duration_s?: number;
  readonly packets: number;
  /** On the wire. */
  readonly bytes: number;
}

/** In the order of enum pb_rule_type and enum pb_rule_action. */
const types = ['connection', 'flow', 'ip', 'mac'] as const;
export const actions = ['drop', 'pass', 'mirror', 'output'] as const;
const protocols: Readonly<Record<string, number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  icmp6: 58,
  sctp: 132,
  udplite: 136,
};
const protocolsWithPorts = [6, 17, 33, 132, 136];

export const ruleBytes = 64;
export const listedRuleBytes = 24 + ruleBytes;
export const priorityMax = 1000;

const given = { protocol: 1, sport: 2, dport: 4 };
const fields = {
  connection: ['src', 'dst', 'proto', 'sport', 'dport'],
  flow: ['src', 'dst', 'proto', 'sport', 'dport'],
  // The address may stand where those of the other types do.
  ip: ['address', 'src'],
  mac: ['address', 'src'],
} as const;
const commonFields = ['type', 'action', 'output', 'priority', 'start', 'duration_s'];

type Fields = Readonly<Record<string, unknown>>;

/** What is wrong with a field. `what` names the rule. */
function invalid(what: string, field: string, value: unknown, problem: string, hint: string): BricksError {
  const shown = value === undefined ? field : `${field} ${shownValue(value)}`;
  return BricksError.of('ARGUMENT_INVALID', { what: `${what}: ${shown}`, problem, hint });
}

function oneOf<T extends string>(what: string, field: string, value: unknown, values: readonly T[]): T {
  const found = values.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  throw invalid(
    what,
    field,
    value,
    value === undefined ? 'is missing' : 'there is no such one',
    `have: ${values.join(', ')}`,
  );
}

/** A whole number; text of digits counts, as from a command line. */
function integer(what: string, field: string, value: unknown, min: number, max: number): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number;
  throw invalid(what, field, value, 'out of range', `it must be a whole number from ${min} to ${max}`);
}

function seconds(what: string, field: string, value: unknown): bigint {
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
  // Beyond, nanoseconds do not fit 64 bits.
  if (typeof number !== 'number' || !(number >= 0 && number < 1e10)) {
    throw invalid(what, field, value, 'not a time', 'it must be a number of seconds from 0 to 1e10');
  }
  // 0 stands for a rule without end, which the shortest time does not become.
  return BigInt(Math.max(Math.round(number * 1e6), Math.sign(number))) * 1000n;
}

function ipv6Bytes(text: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(2).map(Number);
    return ipv6Bytes(`${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
  }
  const groups = (part = ''): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = text.split('::');
  const front = groups(before);
  const back = groups(after);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => 0);
  return [...front, ...zeros, ...back].flatMap((group) => [group >> 8, group & 0xff]);
}

/** An address or, where allowed, a prefix. */
interface Prefix {
  readonly family: 4 | 6;
  readonly bytes: readonly number[];
  readonly bits: number;
}

function prefix(what: string, field: string, value: unknown, mayBePrefix: boolean): Prefix {
  const [address = '', length, ...rest] = typeof value === 'string' ? value.split('/') : [];
  const family = isIPv4(address) ? 4 : isIPv6(address) && !address.includes('%') ? 6 : undefined;
  const example = mayBePrefix ? 'write 10.0.0.1, 10.0.0.0/8 or 2001:db8::/32' : 'write 10.0.0.1 or 2001:db8::1';
  if (family === undefined || rest.length > 0) {
    throw invalid(what, field, value, value === undefined ? 'is missing' : 'not an IP address', example);
  }
  const bytes = family === 4 ? address.split('.').map(Number) : ipv6Bytes(address);
  const bitsMax = family === 4 ? 32 : 128;
  if (length === undefined) return { family, bytes, bits: bitsMax };
  if (!mayBePrefix)
    throw invalid(what, field, value, 'a connection has whole addresses', 'use type "flow" for prefixes');
  if (!/^\d{1,3}$/.test(length) || Number(length) > bitsMax) {
    throw invalid(what, field, value, 'not a prefix length', `it must be 0 to ${bitsMax}`);
  }
  return { family, bytes, bits: Number(length) };
}

function macBytes(what: string, field: string, value: unknown): number[] {
  if (typeof value !== 'string' || !/^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(value)) {
    const problem = value === undefined ? 'is missing' : 'not a MAC address';
    throw invalid(what, field, value, problem, 'write 02:00:00:00:00:01');
  }
  return value.split(':').map((byte) => Number.parseInt(byte, 16));
}

function protocol(what: string, value: unknown): number {
  if (typeof value === 'string' && Object.hasOwn(protocols, value.toLowerCase())) {
    return protocols[value.toLowerCase()] ?? 0;
  }
  if (value === undefined) throw invalid(what, 'proto', value, 'is missing', 'write tcp, udp or its number');
  try {
    return integer(what, 'proto', value, 0, 255);
  } catch {
    const hint = `it must be 0 to 255, or one of ${Object.keys(protocols).join(', ')}`;
    throw invalid(what, 'proto', value, 'no protocol', hint);
  }
}

function checkFields(what: string, rule: Fields, type: (typeof types)[number]): void {
  const have = [...fields[type], ...commonFields];
  for (const field of Object.keys(rule)) {
    if (!have.includes(field)) {
      throw invalid(what, field, rule[field], `type "${type}" has no such field`, `have: ${have.join(', ')}`);
    }
  }
}

/** The addresses of a connection or flow, into the rule at `at`. */
function packEnds(view: DataView, at: number, what: string, rule: Fields, isExact: boolean): void {
  const ends = (['src', 'dst'] as const).map((field) =>
    !isExact && rule[field] === undefined ? undefined : prefix(what, field, rule[field], !isExact),
  );
  const families = new Set(ends.flatMap((end) => (end === undefined ? [] : [end.family])));
  if (families.size > 1) {
    throw invalid(what, 'dst', rule.dst, 'src and dst are of IPv4 and IPv6', 'write two addresses of one kind');
  }
  view.setUint8(at + 2, [...families][0] ?? 0);
  ends.forEach((end, i) => {
    if (end === undefined) return;
    view.setUint8(at + 5 + i, end.bits);
    end.bytes.forEach((byte, k) => {
      view.setUint8(at + 16 + 16 * i + k, byte);
    });
  });
}

function packTuple(view: DataView, at: number, what: string, rule: Fields, isExact: boolean): void {
  packEnds(view, at, what, rule, isExact);
  let flags = 0;
  if (isExact || rule.proto !== undefined) {
    view.setUint8(at + 3, protocol(what, rule.proto));
    flags |= given.protocol;
  }
  const hasPorts = flags === 0 || protocolsWithPorts.includes(view.getUint8(at + 3));
  (['sport', 'dport'] as const).forEach((field, i) => {
    const value = rule[field];
    if (value === undefined && !(isExact && hasPorts)) return;
    if (!hasPorts) throw invalid(what, field, value, `protocol ${String(rule.proto)} has no ports`, 'leave it out');
    if (value === undefined) throw invalid(what, field, value, 'is missing', 'a connection has both ports');
    view.setUint16(at + 8 + 2 * i, integer(what, field, value, 0, 65535), true);
    flags |= given[field];
  });
  view.setUint8(at + 4, flags);
}

function packAddress(view: DataView, at: number, what: string, rule: Fields, type: 'ip' | 'mac'): void {
  const field = rule.address === undefined && rule.src !== undefined ? 'src' : 'address';
  if (rule.address !== undefined && rule.src !== undefined) {
    throw invalid(what, 'src', rule.src, `type "${type}" has one address, at either end`, 'leave it out');
  }
  const value = rule[field];
  const { family, bytes, bits } =
    type === 'mac' ? { family: 0, bytes: macBytes(what, field, value), bits: 0 } : prefix(what, field, value, true);
  view.setUint8(at + 2, family);
  view.setUint8(at + 5, bits);
  bytes.forEach((byte, i) => {
    view.setUint8(at + 16 + i, byte);
  });
}

/** Packs a rule to `at`. Throws ARGUMENT_INVALID in one line: `rule: src "10.0.0.300": not an IP address; ...`. */
export function packRule(view: DataView, at: number, given: unknown, what = 'rule'): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw BricksError.of('ARGUMENT_INVALID', {
      what,
      problem: 'not a rule',
      hint: 'write { type = "ip", address = "10.0.0.1", action = "drop" }',
    });
  }
  const rule: Fields = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== null),
  );
  const type = oneOf(what, 'type', rule.type, types);
  checkFields(what, rule, type);
  const action = oneOf(what, 'action', rule.action, actions);
  view.setUint8(at, types.indexOf(type));
  view.setUint8(at + 1, actions.indexOf(action));
  if (type === 'ip' || type === 'mac') packAddress(view, at, what, rule, type);
  else packTuple(view, at, what, rule, type === 'connection');
  if (action === 'mirror' || action === 'output') {
    if (rule.output === undefined)
      throw invalid(what, 'output', undefined, 'is missing', `action "${action}" needs one`);
    view.setUint16(at + 12, integer(what, 'output', rule.output, 0, abi.outputsMax - 1), true);
  } else if (rule.output !== undefined) {
    throw invalid(what, 'output', rule.output, `action "${action}" has none`, 'leave it out');
  }
  view.setInt16(at + 14, integer(what, 'priority', rule.priority ?? 0, -priorityMax, priorityMax), true);
  view.setBigUint64(at + 48, seconds(what, 'start', rule.start ?? 0), true);
  view.setBigUint64(at + 56, seconds(what, 'duration_s', rule.duration_s ?? 0), true);
}

function addressText(bytes: Uint8Array, at: number, family: number, bits: number): string {
  const address = family === 4 ? ipv4Text(bytes, at) : ipv6Text(bytes, at);
  return bits === (family === 4 ? 32 : 128) ? address : `${address}/${bits}`;
}

function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function protocolText(number: number): string {
  return Object.keys(protocols).find((name) => protocols[name] === number) ?? String(number);
}

function matchOf(view: DataView, bytes: Uint8Array, at: number, type: string): Partial<ListedRule> {
  const family = view.getUint8(at + 2);
  if (type === 'mac') return { address: macText(bytes.subarray(at + 16, at + 22)) };
  if (type === 'ip') return { address: addressText(bytes, at + 16, family, view.getUint8(at + 5)) };
  const isExact = type === 'connection';
  const number = view.getUint8(at + 3);
  const flags = view.getUint8(at + 4);
  const has = (flag: number): boolean => (flags & flag) !== 0 && (!isExact || protocolsWithPorts.includes(number));
  const bits = [view.getUint8(at + 5), view.getUint8(at + 6)];
  // Of a flow from any address of a family to any other one end is listed, as without it the family would be missing.
  const hasEnd = (end: 0 | 1): boolean => family !== 0 && (bits[end] !== 0 || (end === 0 && bits[1] === 0));
  return {
    ...(hasEnd(0) && { src: addressText(bytes, at + 16, family, view.getUint8(at + 5)) }),
    ...(hasEnd(1) && { dst: addressText(bytes, at + 32, family, view.getUint8(at + 6)) }),
    ...((flags & given.protocol) !== 0 && { proto: protocolText(number) }),
    ...(has(given.sport) && { sport: view.getUint16(at + 8, true) }),
    ...(has(given.dport) && { dport: view.getUint16(at + 10, true) }),
  };
}

/** Nanoseconds as seconds, to the microsecond. */
function secondsOf(ns: bigint): number {
  return Number(ns / 1000n) / 1e6;
}

/** The listed rule at `at`: struct pb_rule_listed. */
export function unpackRule(bytes: Uint8Array, at: number): ListedRule {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rule = at + 24;
  const type = types[view.getUint8(rule)] ?? '';
  const action = actions[view.getUint8(rule + 1)] ?? '';
  const duration = view.getBigUint64(rule + 56, true);
  return {
    id: Number(view.getBigUint64(at, true)),
    type,
    ...matchOf(view, bytes, rule, type),
    action,
    ...((action === 'mirror' || action === 'output') && { output: view.getUint16(rule + 12, true) }),
    priority: view.getInt16(rule + 14, true),
    start: secondsOf(view.getBigUint64(rule + 48, true)),
    ...(duration > 0n && { duration_s: secondsOf(duration) }),
    packets: Number(view.getBigUint64(at + 8, true)),
    bytes: Number(view.getBigUint64(at + 16, true)),
  };
}
