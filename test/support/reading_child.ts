// A program for tests: takes batches of four packets from a pipe and gives back all but the last, then stands still, to
// be killed. Usage: reading_child.ts PIPE BATCHES
import { openPipe } from '../../index.ts';

const [name = '', batches = '1'] = process.argv.slice(2);
const pipe = await openPipe(name, { batchPackets: 4, wait: true });
console.log('attached');
for (let i = 0; i < Number(batches); i++) await pipe.next();
console.log('holds its last batch');
setInterval(() => {}, 1000);
