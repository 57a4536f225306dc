// The lines typed at a prompt, kept in a file from one time to the next. Called by prompt.ts.
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Lines kept. */
export const historyLinesMax = 1000;

/** Where the lines are: BRICKS_HISTORY, where empty means nowhere, else a file in the home directory. */
function historyFile(): string | undefined {
  const own = process.env.BRICKS_HISTORY;
  if (own !== undefined) return own === '' ? undefined : own;
  return attempt(() => join(homedir(), '.bricks_history'), undefined);
}

/** A history without its file is still one: what cannot be read or written is left out, and nothing is said. */
function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action();
  } catch {
    return otherwise;
  }
}

export class History {
  readonly #file = historyFile();

  /** The newest line first, as node:readline has it. */
  read(): string[] {
    const file = this.#file;
    if (file === undefined) return [];
    const lines = attempt(() => readFileSync(file, 'utf8').split('\n').filter(Boolean), []);
    // Lines are appended as they are typed, by several prompts at once: from time to time the file is cut.
    if (lines.length > 2 * historyLinesMax) {
      const kept = lines.slice(-historyLinesMax);
      attempt(() => writeFileSync(file, `${kept.join('\n')}\n`, { mode: 0o600 }), undefined);
    }
    return lines.slice(-historyLinesMax).reverse();
  }

  add(line: string): void {
    const file = this.#file;
    if (file === undefined || line.trim() === '') return;
    attempt(() => appendFileSync(file, `${line}\n`, { mode: 0o600 }), undefined);
  }
}
