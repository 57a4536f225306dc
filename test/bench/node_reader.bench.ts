// What an application in JavaScript gets out of a pipe, beside one in C.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Effort, pairs, type Row, run } from './measure.ts';

const reader = fileURLToPath(new URL('node_reader.ts', import.meta.url));

/** Generator, Dummy, one pipe; the reader is another process, in C and in JavaScript in turn. */
export async function nodeReader(programs: string, effort: Effort): Promise<Row[]> {
  const seconds = String(effort.seconds);
  const take = (...command: string[]): number =>
    Number(run(join(programs, 'pipes'), ['60', seconds, '1', '10000', ...command])) / 1e6;
  const figures = await pairs(effort.rounds, { name: 'the same in C', take: () => take() }, () =>
    take(process.execPath, '--import', 'tsx', reader, 'bench}0', seconds),
  );
  const name = 'nodeReader: one pipe, read by JavaScript, 60 bytes';
  return [{ name, unit: 'Mpps', ...figures, target: { ratioMin: 0.1 } }];
}
