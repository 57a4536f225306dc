// How a chunk ended, as text for a user.
import type { Outcome } from '../../lua/scheduler.ts';

/** The values of an expression, or the error with its traceback; ends with a newline unless it is empty. */
export function outcomeText(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'done':
      return outcome.values.length === 0 ? '' : `${outcome.values.map((value) => value.text).join('\t')}\n`;
    case 'error':
      return `${[outcome.message, outcome.traceback].filter((part) => part !== '').join('\n')}\n`;
    case 'interrupted':
      return 'interrupted\n';
    default:
      return '';
  }
}
