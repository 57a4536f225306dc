// A session: one user who has chunks of Lua evaluated, one after the other, and sees what they print.
//
// The prompt of a terminal is one; a client of the daemon will be another. It knows nothing of terminals.
import type { Interpreter } from '../lua/interpreter.ts';
import type { Outcome, Output, ReturnedValue, Task } from '../lua/scheduler.ts';

/** How an evaluation ended; incomplete: more lines are needed. */
export type Evaluation = Outcome | { readonly kind: 'incomplete' };

export class Session {
  readonly #interpreter: Interpreter;
  readonly #output: Output;
  #task: Task | undefined;
  /** True while a prompt has the user's attention: interruption is then its affair. */
  isAtPrompt = false;

  constructor(interpreter: Interpreter, output: Output) {
    this.#interpreter = interpreter;
    this.#output = output;
  }

  /** True while a chunk is on its way. */
  get isRunning(): boolean {
    return this.#task !== undefined;
  }

  /** Evaluates what a user typed: an expression, whose values come back, or statements. */
  async evaluate(code: string): Promise<Evaluation> {
    const statement = this.#interpreter.compile(code, 'prompt');
    const expression = this.#interpreter.compile(`return ${code.replace(/^\s*=/, '')}`, 'prompt');
    if (expression.kind === 'compiled') {
      const outcome = await this.#follow(expression.start(this.#output));
      // "pe:start()" returns pe to be chained: nobody asked to see it.
      if (outcome.kind !== 'done' || statement.kind !== 'compiled') return outcome;
      return { kind: 'done', values: outcome.values.filter((value: ReturnedValue) => !value.isObject) };
    }
    if (statement.kind === 'compiled') return this.#follow(statement.start(this.#output));
    if (statement.kind === 'incomplete') return { kind: 'incomplete' };
    return { kind: 'error', message: statement.message, traceback: '' };
  }

  /** Runs a whole script. `name` is what messages call it. */
  async run(source: Uint8Array, name: string): Promise<Outcome> {
    const compiled = this.#interpreter.compile(source, name);
    if (compiled.kind !== 'compiled') return { kind: 'error', message: compiled.message, traceback: '' };
    return this.#follow(compiled.start(this.#output));
  }

  /** Ends the running chunk. */
  interrupt(): void {
    if (this.#task !== undefined) this.#interpreter.scheduler.interrupt(this.#task);
  }

  /** What the word at the end of `line` can become, and the word. */
  complete(line: string): [string[], string] {
    const [word = ''] = /[\w.:]*$/.exec(line) ?? [];
    const [, owner = '', separator = '', start = ''] = /^(?:(.*)([.:]))?(\w*)$/.exec(word) ?? [];
    const names = this.#interpreter.fieldNames(owner === '' ? [] : owner.split(/[.:]/));
    return [names.filter((name) => name.startsWith(start)).map((name) => owner + separator + name), word];
  }

  async #follow(task: Task): Promise<Outcome> {
    this.#task = task;
    const outcome = await task.outcome;
    this.#task = undefined;
    return outcome;
  }
}
