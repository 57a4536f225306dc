// bricks-filter: one command for the rules of a Filter of the daemon.
import type { ListedRule } from '../../bricks/filter/rule_text.ts';
import { exitStatus, type ParsedCommand, UsageError } from '../command/options.ts';
import { surviveLostStreams } from '../prompt/terminal.ts';
import { type JsonAnswer, JsonConnection } from './json_connection.ts';

/** Rules in one answer: more keep the daemon from others for longer than they like. */
const listedMax = 5000;

type Request = Readonly<Record<string, unknown>>;

/** `src=10.0.0.1 dst=…` as the fields of a rule. */
function ruleOf(args: readonly string[]): Request {
  if (args.length === 0) throw new UsageError('add: FIELD=VALUE is missing');
  const rule: Record<string, string> = {};
  for (const arg of args) {
    const [, field, value] = /^([a-z_]+)=(.*)$/s.exec(arg) ?? [];
    if (field === undefined || value === undefined) throw new UsageError(`add: "${arg}" is not FIELD=VALUE`);
    if (Object.hasOwn(rule, field)) throw new UsageError(`add: ${field} is given twice`);
    rule[field] = value;
  }
  return rule;
}

function idsOf(args: readonly string[]): number[] {
  if (args.length === 0) throw new UsageError('remove: ID is missing');
  return args.map((arg) => {
    if (!/^[1-9]\d{0,15}$/.test(arg)) throw new UsageError(`remove: "${arg}" is not the id of a rule`);
    return Number(arg);
  });
}

/** The requests of a command line, one for each rule that is removed: so it is told which of them were not there. */
function requestsOf([command = '', ...args]: readonly string[]): Request[] {
  if (command === 'add') return [{ op: 'filter.add', rule: ruleOf(args) }];
  if (command === 'remove') return idsOf(args).map((rule) => ({ op: 'filter.remove', rule }));
  if (command !== 'list' && command !== 'clear') {
    throw new UsageError(`no command "${command}"; have: add, remove, list, clear`);
  }
  if (args.length > 0) throw new UsageError(`${command}: unexpected argument '${args[0]}'`);
  return [{ op: `filter.${command}`, ...(command === 'list' && { max: listedMax }) }];
}

/** Which packets a rule matches: `tcp 10.0.0.1:50000 <-> 10.0.0.2:443`. */
function matchText({ type, address, src, dst, proto, sport, dport }: ListedRule): string {
  if (address !== undefined) return address;
  const end = (host = 'any', port?: number): string => {
    if (port === undefined) return host;
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  };
  return `${proto ?? 'any'} ${end(src, sport)} ${type === 'connection' ? '<->' : '->'} ${end(dst, dport)}`;
}

/** When a rule is in force, where that is not always. */
function timeText({ start, duration_s: duration }: ListedRule): string {
  const time = (seconds: number): string => new Date(seconds * 1000).toISOString();
  if (duration !== undefined) return `${time(start)} to ${time(start + duration)}`;
  return start * 1000 > Date.now() ? `from ${time(start)}` : '-';
}

/** Columns as wide as these rules need. */
function tableText(rules: readonly ListedRule[]): string {
  const rows = rules.map((rule) => [
    String(rule.id),
    rule.type,
    matchText(rule),
    rule.output === undefined ? rule.action : `${rule.action} ${rule.output}`,
    String(rule.priority),
    String(rule.packets),
    String(rule.bytes),
    timeText(rule),
  ]);
  const table = [['ID', 'TYPE', 'MATCH', 'ACTION', 'PRIORITY', 'PACKETS', 'BYTES', 'IN FORCE'], ...rows];
  const widths = table.reduce<number[]>((wide, row) => row.map((cell, i) => Math.max(cell.length, wide[i] ?? 0)), []);
  return table
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** What a command has to say; a rule that was removed, nothing. */
function resultText(command: string, result: unknown): string {
  if (command === 'list') return tableText(result as ListedRule[]);
  if (command === 'remove') return '';
  return command === 'clear' ? `${String(result)} removed\n` : `${String(result)}\n`;
}

function jsonText(result: unknown): string {
  const results: unknown[] = Array.isArray(result) ? result : [result];
  return results.map((one) => `${JSON.stringify(one)}\n`).join('');
}

function whichFilter({ engine, filter }: ParsedCommand['values']): Request {
  if (filter !== undefined && !/^\d{1,4}$/.test(filter)) throw new UsageError(`--filter: "${filter}" is not a number`);
  return { ...(engine !== undefined && { engine }), ...(filter !== undefined && { filter: Number(filter) }) };
}

/** Everything there is to an operation's answer: a long list comes in parts. */
async function askAll(connection: JsonConnection, request: Request): Promise<JsonAnswer> {
  const answer = await connection.ask(request);
  const { op, max } = request;
  const rules = answer.result as ListedRule[];
  if (op !== 'filter.list' || !answer.ok || rules.length < Number(max)) return answer;
  const rest = await askAll(connection, { ...request, after: rules.at(-1)?.id });
  return rest.ok ? { ok: true, result: rules.concat(rest.result as ListedRule[]) } : rest;
}

/** Runs the program; the exit status. */
export async function runFilter({ values, switches, positionals }: ParsedCommand): Promise<number> {
  const requests = requestsOf(positionals);
  const which = whichFilter(values);
  const [command = ''] = positionals;
  surviveLostStreams();
  const connection = await JsonConnection.open();
  let status: number = exitStatus.success;
  for (const request of requests) {
    const { ok, result, error } = await askAll(connection, { ...which, ...request });
    const isMissing = ok && command === 'remove' && result === false;
    if (!ok || isMissing) {
      const missing = `rule ${String(request.rule)}: there is no such rule; it was removed, or has expired`;
      process.stderr.write(`bricks-filter: ${error ?? missing}\n`);
      status = exitStatus.failure;
    } else {
      process.stdout.write(switches.has('json') ? jsonText(result) : resultText(command, result));
    }
  }
  connection.close();
  return status;
}
