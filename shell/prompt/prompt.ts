// The prompt on a terminal: reads lines, has a session evaluate them, shows results and errors.
import { clearLine, createInterface, cursorTo, type Interface } from 'node:readline';
import type { Outcome } from '../../lua/scheduler.ts';
import type { Session } from '../session/session.ts';
import { History, historyLinesMax } from './history.ts';
import { outcomeText } from './outcome_text.ts';

const prompts = { first: 'bricks> ', more: '     >> ' } as const;

/** What ends a prompt: the end of input, or a chunk that ended the program. */
export type PromptEnd = Extract<Outcome, { kind: 'exit' | 'shutdown' }>;

const left: PromptEnd = { kind: 'exit', status: 0 };

export class Prompt {
  readonly #session: Session;
  readonly #leaving: string;
  readonly #editor: Interface;
  readonly #history = new History();
  /** Lines that have come in and were not looked at yet. */
  readonly #lines: string[] = [];
  /** The lines of a chunk that is not complete. */
  #code = '';
  #isBusy = false;
  #isClosed = false;
  #isLeaving = false;
  #resolve: (end: PromptEnd) => void = () => {};
  readonly #interrupt = (): void => this.#session.interrupt();

  /** @param leaving what leaving does: "stops the engines and leaves" */
  constructor(session: Session, leaving: string) {
    this.#session = session;
    this.#leaving = leaving;
    this.#editor = createInterface({
      input: process.stdin,
      output: process.stdout,
      prompt: prompts.first,
      history: this.#history.read(),
      historySize: historyLinesMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        void this.#session.complete(line).then(({ matches, word }) => done(null, [[...matches], word]));
      },
    });
  }

  /** Runs until the user leaves. */
  run(): Promise<PromptEnd> {
    process.on('SIGINT', this.#interrupt);
    this.#editor.on('line', (line) => {
      this.#history.add(line);
      this.#lines.push(line);
      this.#isLeaving = false;
      void this.#work();
    });
    this.#editor.on('SIGINT', () => this.#cancelLine());
    // A terminal that is gone: "close" follows.
    this.#editor.on('error', () => {});
    process.stdin.on('error', () => {});
    this.#editor.on('close', () => {
      process.stdout.write('\n');
      this.#isClosed = true;
      if (!this.#isBusy) this.#leave(left);
    });
    this.#prompt();
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Shows a line that nobody asked for, and what was being typed below it again. */
  notify(text: string): void {
    if (this.#isBusy) {
      process.stderr.write(`${text}\n`);
      return;
    }
    clearLine(process.stdout, 0);
    cursorTo(process.stdout, 0);
    process.stderr.write(`${text}\n`);
    this.#editor.prompt(true);
  }

  #prompt(): void {
    this.#editor.setPrompt(this.#code === '' ? prompts.first : prompts.more);
    this.#editor.prompt();
  }

  #leave(end: PromptEnd): void {
    process.off('SIGINT', this.#interrupt);
    this.#editor.removeAllListeners('close');
    if (!this.#isClosed) this.#editor.close();
    this.#resolve(end);
  }

  /** Evaluates the lines that have come in, one after the other. */
  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      const end = await this.#evaluate(line);
      if (end !== undefined) {
        this.#leave(end);
        return;
      }
    }
    this.#isBusy = false;
    if (this.#isClosed) this.#leave(left);
    else this.#prompt();
  }

  /** Evaluates a line with those before it; what ends the prompt, where it does. */
  async #evaluate(line: string): Promise<PromptEnd | undefined> {
    const code = this.#code === '' ? line : `${this.#code}\n${line}`;
    this.#code = '';
    const word = code.trim();
    if (word === 'exit' || word === 'quit') return left;
    if (word === '') return undefined;
    // What newcomers try first, and no Lua.
    const asked = word === '?' ? 'help' : code;
    this.#giveTerminal('chunk');
    const outcome = await this.#session.evaluate(asked);
    if (!this.#isClosed) this.#giveTerminal('editor');
    if (outcome.kind === 'exit' || outcome.kind === 'shutdown') return outcome;
    if (outcome.kind === 'incomplete') this.#code = code;
    else process.stdout.write(outcomeText(outcome));
    return undefined;
  }

  /** Hands the terminal to the chunk (cooked, Ctrl-C is a signal) or back to the line editor. */
  #giveTerminal(to: 'chunk' | 'editor'): void {
    if (to === 'chunk') this.#editor.pause();
    process.stdin.setRawMode(to === 'editor');
    if (to === 'editor') this.#editor.resume();
  }

  /** In the editor Ctrl-C is a key: it drops what was typed; twice where there is nothing, it leaves. */
  #cancelLine(): void {
    const hasText = this.#code !== '' || this.#editor.line !== '';
    if (!hasText && this.#isLeaving) {
      process.stdout.write('\n');
      this.#leave(left);
      return;
    }
    this.#isLeaving = !hasText;
    this.#code = '';
    process.stdout.write(hasText ? '^C\n' : `^C\n(Ctrl-C again or Ctrl-D ${this.#leaving})\n`);
    this.#editor.setPrompt(prompts.first);
    this.#editor.write(null, { ctrl: true, name: 'e' });
    // Deletes the line, and shows the prompt: once, since who reads along takes it for the end of what was before.
    this.#editor.write(null, { ctrl: true, name: 'u' });
  }
}
