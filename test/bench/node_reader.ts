// A trivial application in JavaScript: sums the lengths and one byte of the packets of a pipe, and prints packets/s.
//
//   node_reader.ts NAME SECONDS
//
// Run by node_reader.bench.ts, beside the reader in C (pipes.c), which does the same.
import { openPipe } from '../../index.ts';

/** Not counted: V8 compiles meanwhile. */
const warmUpMs = 500;

const [name = '', seconds = ''] = process.argv.slice(2);
let sum = 0;
let packets = 0;
let start: number | undefined;
let elapsedMs = 0;
const opened = performance.now();
for await (const batch of await openPipe(name)) {
  const { memory, count } = batch;
  for (let i = 0; i < count; i++) sum += batch.length(i) + (memory[batch.offset(i) + 30] ?? 0);
  packets += count;
  const now = performance.now();
  if (start === undefined) {
    if (now - opened < warmUpMs) continue;
    start = now;
    packets = 0;
  }
  elapsedMs = now - start;
  if (elapsedMs >= Number(seconds) * 1000) break;
}
if (sum === 0) throw new Error(`pipe "${name}": its packets are empty`);
console.log(Math.round((packets / elapsedMs) * 1000));
