// A program for tests: writes numbered packets into a pipe, then stands still, to be stopped or killed.
// Usage: writing_child.ts PIPE FIRST COUNT
import { openPipeWriter } from '../../index.ts';
import { numbered } from './numbered.ts';

const [name = '', first = '0', count = '1'] = process.argv.slice(2);
const writer = await openPipeWriter(name, { wait: true });
await writer.drain();
const written = writer.write(numbered(Number(first), Number(count)));
console.log(`wrote ${written}`);
setInterval(() => {}, 1000);
