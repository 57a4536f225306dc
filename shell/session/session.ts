// A session: one user who has chunks of Lua evaluated, one after the other, and sees what they print.
//
// The interpreter may be in this process (local_session.ts) or in the daemon (client/remote_session.ts): prompts and
// scripted runs do not know which.
import type { Outcome } from '../../lua/scheduler.ts';

/** How an evaluation ended; incomplete: more lines are needed. */
export type Evaluation = Outcome | { readonly kind: 'incomplete' };

/** What the word at the end of a line can become, and that word. */
export interface Completion {
  readonly matches: readonly string[];
  readonly word: string;
}

export interface Session {
  /** Evaluates what a user typed: an expression, whose values come back, or statements. */
  evaluate(code: string): Promise<Evaluation>;
  /** Runs a whole script. `name` is what messages call it. */
  run(source: Uint8Array, name: string): Promise<Outcome>;
  /** Ends the running chunk. */
  interrupt(): void;
  complete(line: string): Promise<Completion>;
}
