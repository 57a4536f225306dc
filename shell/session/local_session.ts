// A session whose interpreter is in this process: the prompt of `bricks`, and each client inside the daemon.
import type { Compiled, Interpreter } from '../../lua/interpreter.ts';
import type { Outcome, Output, ResultFormat, Task } from '../../lua/scheduler.ts';
import { complete } from './completion.ts';
import type { Completion, Evaluation, Session } from './session.ts';

type CompiledChunk = Extract<Compiled, { kind: 'compiled' }>;

function failure(compiled: Exclude<Compiled, CompiledChunk>): Outcome {
  return { kind: 'error', message: compiled.message, traceback: '' };
}

const returning = Buffer.from('return ');

/** "= 1 + 1" is how Lua 5.1 asks for a value: the sign is left out. */
function asExpression(code: Buffer): Buffer {
  let from = 0;
  while (from < code.length && ' \t\r\n'.includes(String.fromCharCode(code[from] ?? 0))) from++;
  return Buffer.concat([returning, code[from] === '='.charCodeAt(0) ? code.subarray(from + 1) : code]);
}

export class LocalSession implements Session {
  readonly #interpreter: Interpreter;
  readonly #output: Output;
  readonly #tasks = new Set<Task>();

  constructor(interpreter: Interpreter, output: Output) {
    this.#interpreter = interpreter;
    this.#output = output;
  }

  async evaluate(code: string | Uint8Array, format: ResultFormat = 'text'): Promise<Evaluation> {
    // Bytes that are not UTF-8 stay as they are: a string of JavaScript would not keep them.
    const text = typeof code === 'string' ? Buffer.from(code) : Buffer.from(code.buffer, code.byteOffset, code.length);
    const expression = this.#interpreter.compile(asExpression(text), 'prompt');
    if (expression.kind === 'compiled') return this.#hideChained(text, await this.#start(expression, format));
    const statement = this.#interpreter.compile(text, 'prompt');
    if (statement.kind === 'compiled') return this.#start(statement, format);
    return statement.kind === 'incomplete' ? { kind: 'incomplete' } : failure(statement);
  }

  async run(source: Uint8Array, name: string, format: ResultFormat = 'text'): Promise<Outcome> {
    const compiled = this.#interpreter.compile(source, name);
    return compiled.kind === 'compiled' ? this.#start(compiled, format) : failure(compiled);
  }

  interrupt(): void {
    for (const task of this.#tasks) this.#interpreter.scheduler.interrupt(task);
  }

  async complete(line: string): Promise<Completion> {
    return complete(this.#interpreter, line);
  }

  /** "pe:start()" returns pe to be chained: nobody asked to see it. It is a statement as well; "pe" alone is none. */
  #hideChained(code: Buffer, outcome: Outcome): Outcome {
    if (outcome.kind !== 'done' || !outcome.values.some((value) => value.isObject)) return outcome;
    if (this.#interpreter.compile(code, 'prompt').kind !== 'compiled') return outcome;
    return { kind: 'done', values: outcome.values.filter((value) => !value.isObject) };
  }

  async #start(compiled: CompiledChunk, format: ResultFormat): Promise<Outcome> {
    const task = compiled.start(this.#output, format);
    this.#tasks.add(task);
    const outcome = await task.outcome;
    this.#tasks.delete(task);
    return outcome;
  }
}
