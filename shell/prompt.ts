// The prompt on a terminal: reads lines, has a session evaluate them, shows results and errors.
import { createInterface, type Interface } from 'node:readline';
import type { Outcome } from '../lua/scheduler.ts';
import { outcomeText } from './outcome_text.ts';
import type { Session } from './session.ts';

const prompts = { first: 'bricks> ', more: '     >> ' } as const;

/** What ends a prompt: the end of input, or a chunk that ended the program. */
export type PromptEnd = Extract<Outcome, { kind: 'exit' | 'shutdown' }>;

/** Hands the terminal to the chunk (cooked, Ctrl-C is a signal) or back to the line editor. */
function giveTerminal(to: 'chunk' | 'editor', editor: Interface): void {
  if (to === 'chunk') editor.pause();
  process.stdin.setRawMode(to === 'editor');
  if (to === 'editor') editor.resume();
}

/** Runs until the user leaves. */
export function runPrompt(session: Session): Promise<PromptEnd> {
  const editor = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: prompts.first,
    completer: (line: string) => session.complete(line),
  });
  const lines: string[] = [];
  let code = '';
  let isBusy = false;
  let isClosed = false;
  let isLeaving = false;
  session.isAtPrompt = true;

  return new Promise((resolve) => {
    const prompt = (): void => {
      editor.setPrompt(code === '' ? prompts.first : prompts.more);
      editor.prompt();
    };
    const leave = (end: PromptEnd): void => {
      process.off('SIGINT', interrupt);
      session.isAtPrompt = false;
      editor.removeAllListeners('close');
      if (!isClosed) editor.close();
      resolve(end);
    };
    const interrupt = (): void => session.interrupt();

    /** Evaluates the lines that have come in, one after the other. */
    const work = async (): Promise<void> => {
      if (isBusy) return;
      isBusy = true;
      for (let line = lines.shift(); line !== undefined; line = lines.shift()) {
        code = code === '' ? line : `${code}\n${line}`;
        if (code.trim() === '' || code.trim() === 'exit' || code.trim() === 'quit') {
          if (code.trim() !== '') return leave({ kind: 'exit', status: 0 });
          code = '';
          continue;
        }
        giveTerminal('chunk', editor);
        const outcome = await session.evaluate(code);
        if (!isClosed) giveTerminal('editor', editor);
        if (outcome.kind === 'incomplete') continue;
        code = '';
        if (outcome.kind === 'exit' || outcome.kind === 'shutdown') return leave(outcome);
        process.stdout.write(outcomeText(outcome));
      }
      isBusy = false;
      if (isClosed) leave({ kind: 'exit', status: 0 });
      else prompt();
    };

    process.on('SIGINT', interrupt);
    editor.on('line', (line) => {
      lines.push(line);
      isLeaving = false;
      void work();
    });
    // In the editor Ctrl-C is a key: it drops what was typed; twice where there is nothing, it ends the program.
    editor.on('SIGINT', () => {
      const hasText = code !== '' || editor.line !== '';
      if (!hasText && isLeaving) return leave({ kind: 'exit', status: 0 });
      isLeaving = !hasText;
      code = '';
      process.stdout.write(hasText ? '^C\n' : '^C\n(Ctrl-C again or Ctrl-D stops the engines and leaves)\n');
      editor.write(null, { ctrl: true, name: 'e' });
      editor.write(null, { ctrl: true, name: 'u' });
      prompt();
    });
    // A terminal that is gone: "close" follows.
    editor.on('error', () => {});
    process.stdin.on('error', () => {});
    editor.on('close', () => {
      process.stdout.write('\n');
      isClosed = true;
      if (!isBusy) leave({ kind: 'exit', status: 0 });
    });
    prompt();
  });
}
