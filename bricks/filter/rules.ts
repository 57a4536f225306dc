// The commands of Filter: rules added, removed and listed while the engine runs. Requests are those of rule_control.h.
import type { BrickControl } from '../../engine/brick_control.ts';
import { BricksError, shownValue } from '../../engine/errors.ts';
import type { BrickCommand } from '../../engine/graph.ts';
import { type ListedRule, listedRuleBytes, packRule, ruleBytes, unpackRule } from './rule_text.ts';

/** In the order of enum pb_rule_operation. */
const operations = { add: 0, remove: 1, list: 2, clear: 3, reap: 4 };
const requestBytes = 16;
const idBytes = 8;

/** Rules in one request: a few hundred kilobytes. */
const requestRules = 4096;

/** How often rules that have expired are taken away, where nothing else makes that happen. */
const reapMs = 1000;

function request(operation: keyof typeof operations, count: number, payloadBytes = 0, after = 0): DataView {
  const view = new DataView(new ArrayBuffer(requestBytes + payloadBytes));
  view.setUint32(0, operations[operation], true);
  view.setUint32(4, count, true);
  view.setBigUint64(8, BigInt(after), true);
  return view;
}

function send(control: BrickControl, view: DataView, replyBytes: number): Buffer {
  return control.command(new Uint8Array(view.buffer), replyBytes);
}

// A brick that nobody can reach any more is not to be kept by what waits for its rules to expire.
const waiting = new Map<number, WeakRef<BrickControl>>();
let timer: NodeJS.Timeout | undefined;

function reapAll(): void {
  for (const [handle, reference] of waiting) {
    const control = reference.deref();
    const isMore = control !== undefined && send(control, request('reap', 1), 1)[0] === 1;
    if (!isMore) waiting.delete(handle);
  }
  if (waiting.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}

/** Takes away what expires, and memory that the engine has just looked at, a little later. */
function reapLater(control: BrickControl): void {
  waiting.set(control.handle, new WeakRef(control));
  timer ??= setInterval(reapAll, reapMs).unref();
}

function removeAll(control: BrickControl, ids: readonly number[]): number {
  let removed = 0;
  for (let from = 0; from < ids.length; from += requestRules) {
    const part = ids.slice(from, from + requestRules);
    const view = request('remove', part.length, part.length * idBytes);
    part.forEach((id, i) => {
      view.setBigUint64(requestBytes + i * idBytes, BigInt(id), true);
    });
    removed += send(control, view, part.length).reduce((sum, one) => sum + one, 0);
  }
  return removed;
}

/** Packs rules into requests of which each is taken whole or refused. Throws before anything is sent. */
function packAll(rules: readonly unknown[], isList: boolean): DataView[] {
  const views: DataView[] = [];
  for (let from = 0; from < rules.length; from += requestRules) {
    const part = rules.slice(from, from + requestRules);
    const view = request('add', part.length, part.length * ruleBytes);
    part.forEach((rule, i) => {
      packRule(view, requestBytes + i * ruleBytes, rule, isList ? `rule ${from + i + 1}` : 'rule');
    });
    views.push(view);
  }
  return views;
}

/** Adds all rules or none; returns their ids. */
function addAll(control: BrickControl, rules: readonly unknown[], isList: boolean): number[] {
  const ids: number[] = [];
  try {
    for (const view of packAll(rules, isList)) {
      const reply = send(control, view, view.getUint32(4, true) * idBytes);
      for (let at = 0; at < reply.length; at += idBytes) ids.push(Number(reply.readBigUInt64LE(at)));
    }
  } catch (error) {
    removeAll(control, ids);
    throw error;
  } finally {
    reapLater(control);
  }
  return ids;
}

function add(control: BrickControl, argument: unknown): number | number[] {
  if (Array.isArray(argument)) return addAll(control, argument, true);
  const [id = 0] = addAll(control, [argument], false);
  return id;
}

function checkId(value: unknown): number {
  const id = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  if (typeof id === 'number' && Number.isSafeInteger(id) && id > 0) return id;
  throw BricksError.of('ARGUMENT_INVALID', {
    what: `rule ${shownValue(value)}`.trim(),
    problem: 'not the id of a rule',
    hint: 'give what add() returned, or one that rules() lists',
  });
}

function remove(control: BrickControl, argument: unknown): boolean | number {
  try {
    if (Array.isArray(argument)) return removeAll(control, argument.map(checkId));
    return removeAll(control, [checkId(argument)]) === 1;
  } finally {
    reapLater(control);
  }
}

/** Which part of the rules is listed: ids above `after`, `max` of them at the most. */
function checkPart(argument: unknown): { after: number; max: number } {
  const part = { after: 0, max: Number.MAX_SAFE_INTEGER };
  for (const [field, value] of Object.entries(argument ?? {})) {
    const what = `rules: ${field} ${shownValue(value)}`;
    if (field !== 'after' && field !== 'max') {
      throw BricksError.of('ARGUMENT_INVALID', { what, problem: 'there is no such field', hint: 'have: after, max' });
    }
    const least = field === 'after' ? 0 : 1;
    if (!Number.isSafeInteger(value) || Number(value) < least) {
      const hint = 'write { after = 1000, max = 1000 }';
      throw BricksError.of('ARGUMENT_INVALID', { what, problem: `not a whole number from ${least}`, hint });
    }
    part[field] = Number(value);
  }
  return part;
}

function list(control: BrickControl, argument: unknown): ListedRule[] {
  const { after, max } = checkPart(argument);
  const rules: ListedRule[] = [];
  while (rules.length < max) {
    const count = Math.min(requestRules, max - rules.length);
    const reply = send(control, request('list', count, 0, rules.at(-1)?.id ?? after), count * listedRuleBytes);
    for (let at = 0; at < reply.length; at += listedRuleBytes) rules.push(unpackRule(reply, at));
    if (reply.length < count * listedRuleBytes) break;
  }
  return rules;
}

function clear(control: BrickControl): number {
  const removed = send(control, request('clear', 1), 4).readUInt32LE();
  reapLater(control);
  return removed;
}

/** What can be asked of a Filter at any time. */
export const commands: Readonly<Record<string, BrickCommand>> = {
  add: {
    signature: 'add(<rule or list of rules>)',
    text: `adds a rule, or all rules of a list or none; returns its id, or a list of ids.
      { type = "connection" or "flow", src, dst, proto, sport, dport, action, ... }: both directions, or one
      { type = "ip" or "mac", address, action, ... }: at either end
      action = "drop", "pass", "mirror" or "output", the last two with output = <number>
      and where needed priority, start (seconds since 1970), duration_s`,
    run: add,
  },
  remove: {
    signature: 'remove(<id or list of ids>)',
    text: 'removes a rule; returns whether it was there, of a list how many were',
    run: remove,
  },
  rules: {
    signature: 'rules([{ after = <id>, max = <number> }])',
    text: 'a list of the rules, or of a part of them, with their packets and bytes',
    run: list,
  },
  clear: { signature: 'clear()', text: 'removes all rules; returns how many there were', run: clear },
};
