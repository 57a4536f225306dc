// A session whose interpreter is in the daemon.
import { BricksError } from '../../engine/errors.ts';
import type { Outcome, ResultFormat } from '../../lua/scheduler.ts';
import type { Completion, Evaluation, Session } from '../session/session.ts';
import type { ControlClient } from './control_client.ts';

/** What keeps a chunk from being run at all is the chunk's error: the prompt goes on. */
async function orError<T>(evaluation: () => Promise<T>): Promise<T | Extract<Outcome, { kind: 'error' }>> {
  try {
    return await evaluation();
  } catch (error) {
    if (!(error instanceof BricksError)) throw error;
    return { kind: 'error', message: error.message, traceback: '' };
  }
}

export class RemoteSession implements Session {
  readonly #client: () => ControlClient;
  readonly #format: ResultFormat;

  /** @param client the daemon now; throws where there is none */
  constructor(client: () => ControlClient, format: ResultFormat = 'text') {
    this.#client = client;
    this.#format = format;
  }

  evaluate(code: string): Promise<Evaluation> {
    return orError(async () => this.#client().evaluate(Buffer.from(code), this.#format));
  }

  run(source: Uint8Array, name: string): Promise<Outcome> {
    return orError(async () => this.#client().run(source, name, this.#format));
  }

  interrupt(): void {
    // Where the daemon has gone nothing runs.
    void orError(async () => this.#client().interrupt());
  }

  async complete(line: string): Promise<Completion> {
    try {
      return await this.#client().complete(line);
    } catch {
      return { matches: [], word: '' };
    }
  }
}
