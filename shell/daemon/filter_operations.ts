// What monitors ask of the Filters of this process: operations of JSON lines (json_client.ts). JSON.md documents them.
import { BricksError, shownValue } from '../../engine/errors.ts';
import type { BrickNode } from '../../engine/graph.ts';
import { PktEngine } from '../../engine/pkt_engine.ts';

/** A request, an object of JSON whose fields are not checked yet. */
export type JsonRequest = Readonly<Record<string, unknown>>;

const brickName = 'Filter';

function refuse(what: string, problem: string, hint: string): BricksError {
  return BricksError.of('ARGUMENT_INVALID', { what, problem, hint });
}

function enginesOf(name: unknown): PktEngine[] {
  if (name === undefined) return PktEngine.all();
  if (typeof name !== 'string') throw refuse('engine', 'not a name', 'write "engine":"e0", or leave it out');
  return [PktEngine.retrieve(name)];
}

/** The Filter that a request means: of the engine that it names, or the only one there is. */
function findFilter({ engine, filter }: JsonRequest): BrickNode {
  const found = enginesOf(engine).flatMap((candidate) =>
    (candidate.plan?.bricks ?? [])
      .filter(({ node }) => node.descriptor.name === brickName)
      .map(({ node }, i) => ({ node, engine: candidate.name, filter: i })),
  );
  const meant = filter === undefined ? found : found.filter((candidate) => candidate.filter === filter);
  const [only] = meant;
  if (only !== undefined && meant.length === 1) return only.node;
  const have = found.map((candidate) => `engine "${candidate.engine}" filter ${candidate.filter}`).join(', ') || 'none';
  const number = filter === undefined ? '' : ` ${shownValue(filter)}`;
  const place = engine === undefined ? '' : ` of engine "${String(engine)}"`;
  const problem = meant.length === 0 ? 'no such one' : 'there are several; say which';
  throw refuse(`${brickName}${number}${place}`, problem, `have: ${have}`);
}

function run(request: JsonRequest, command: string, argument?: unknown): unknown {
  const { descriptor, control } = findFilter(request);
  const found = descriptor.commands?.[command];
  if (control === undefined || found === undefined) throw new Error(`${descriptor.name} has no command ${command}`);
  return found.run(control, argument);
}

function mayHave(request: JsonRequest, ...fields: readonly string[]): void {
  const have = ['id', 'op', 'engine', 'filter', ...fields];
  const other = Object.keys(request).find((field) => !have.includes(field));
  if (other !== undefined) throw refuse(`request: "${other}"`, 'there is no such field', `have: ${have.join(', ')}`);
}

/** The operations by name; each returns the result to answer with, and throws BricksError. */
export const filterOperations: Readonly<Record<string, (request: JsonRequest) => unknown>> = {
  'filter.add': (request) => {
    mayHave(request, 'rule');
    return run(request, 'add', request.rule);
  },
  'filter.remove': (request) => {
    mayHave(request, 'rule');
    return run(request, 'remove', request.rule);
  },
  'filter.list': (request) => {
    mayHave(request, 'after', 'max');
    const { after, max } = request;
    return run(request, 'rules', { ...(after !== undefined && { after }), ...(max !== undefined && { max }) });
  },
  'filter.clear': (request) => {
    mayHave(request);
    return run(request, 'clear');
  },
};
