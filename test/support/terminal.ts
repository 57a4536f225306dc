// A program on a pseudo-terminal of its own, and what one types there. `script` makes the terminal.
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { type Program, skipWithout, start, until } from './programs.ts';

/** Why nothing can be typed here, or false. */
export const skipTerminal = skipWithout('script');

export const keys = {
  interrupt: '\x03',
  end: '\x04',
  tab: '\t',
  up: '\x1b[A',
  enter: '\r',
} as const;

export class Terminal {
  readonly program: Program;
  #read = 0;

  /** @param command a line for sh; its last program takes the place of the shell */
  constructor(t: TestContext, command: string, environment: NodeJS.ProcessEnv = {}) {
    const env = { ...process.env, TERM: 'xterm', ...environment };
    // "exec": a shell that stays gets Ctrl-C as well, and some (dash) then report 130 whatever the program's status.
    this.program = start(t, 'script', ['-qec', `exec ${command}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
    });
  }

  /** Waits for a text behind what was read before; returns all up to it. */
  async read(text: string): Promise<string> {
    const from = this.#read;
    await until(`"${text}" in ${JSON.stringify(this.program.output().slice(from))}`, () => {
      return this.program.output().indexOf(text, from) >= 0;
    });
    this.#read = this.program.output().indexOf(text, from) + text.length;
    // Without what moves the cursor.
    return stripVTControlCharacters(this.program.output().slice(from, this.#read)).replaceAll('\r', '');
  }

  type(text: string): void {
    this.program.child.stdin?.write(text);
  }

  /** Types a line and reads up to the next prompt. */
  async line(text: string, prompt = 'bricks> '): Promise<string> {
    this.type(`${text}\r`);
    return this.read(prompt);
  }

  /** Types a text and Tab; reads up to what the completion is to show. */
  async complete(text: string, shown: string): Promise<string> {
    this.type(text);
    await this.read(text);
    // readline takes a tab that comes with other keys as pasted.
    await delay(100);
    this.type(keys.tab);
    // Nothing to wait for; and the keys behind it must not come with it either.
    if (shown === '') await delay(200);
    return this.read(shown);
  }
}
