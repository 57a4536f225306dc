// Levels of the log on command lines: bricks-server --log-level, bricks-shell --follow-log.
import { type LogLevel, logLevels } from '../protocol/messages.ts';
import { UsageError } from './options.ts';

/** The level given with an option. Throws UsageError. */
export function checkLevel(option: string, given: string): LogLevel {
  const level = logLevels.find((known) => known === given);
  if (level === undefined) throw new UsageError(`${option}: "${given}" is none of ${logLevels.join(', ')}`);
  return level;
}
