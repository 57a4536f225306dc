// A program for tests: an inline application in JavaScript. Sends on what it reads, packet by packet in order, until its
// pipe ends. Usage: inline_app.ts READ WRITE
import { openPipe, openPipeWriter } from '../../index.ts';

const [from = '', to = ''] = process.argv.slice(2);
const reader = await openPipe(from, { wait: true });
const writer = await openPipeWriter(to, { wait: true });
console.log('attached');
for await (const batch of reader) await writer.send(batch);
writer.close();
