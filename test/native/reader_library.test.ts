// The reader library as an application uses it: the example in the public header is compiled against libbricks-pipe.so
// alone, and reads a pipe of a running engine to its end.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { Brick, PktEngine } from '../../index.ts';
import { nativeFiles } from '../../native/build.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { projectFolder } from '../support/programs.ts';

/** The example in the header's comment, with a use for each packet: its length is printed. */
function exampleProgram(): string {
  const header = readFileSync(join(projectFolder, 'native/include/packet_bricks.h'), 'utf8');
  const section = header.slice(header.indexOf('One reader per pipe'));
  const lines = section.slice(0, section.indexOf('*/')).split('\n');
  const code = lines.filter((line) => line.startsWith(' *     ')).map((line) => line.slice(7));
  assert.ok(code.length > 10, 'the header has its example');
  return `#include <packet_bricks.h>
#include <stdio.h>
static void use(const uint8_t *data, uint32_t length) { printf("%u %02x\\n", length, data[0]); }
int main(void) {
${code.join('\n').replace('eth3}0', 'library}0')}
return 0; }
`;
}

test('the example of the header reads a pipe with libbricks-pipe.so', async (t) => {
  const folder = makeFolder(t);
  const source = join(folder, 'example.c');
  const program = join(folder, 'example');
  writeFileSync(source, exampleProgram());
  const library = `-l${nativeFiles.reader.replace(/^lib|\.so$/g, '')}`;
  const flags = ['-Wall', '-Werror', `-I${join(projectFolder, 'native/include')}`, `-L${nativeFilesFolder}`];
  const cc = spawnSync('cc', [...flags, source, '-o', program, library, `-Wl,-rpath,${nativeFilesFolder}`], {
    encoding: 'utf8',
  });
  assert.equal(cc.status, 0, cc.stderr);

  process.env.BRICKS_RUNTIME_DIR = folder;
  const engine = new PktEngine('library');
  t.after(() => {
    if (engine.isRunning) engine.stop();
    engine.delete();
  });
  engine.link(new Brick('Dummy').connectInput(`pcap:${demoCapture}`).connectOutput('library{0?wait=1')).start();
  const child = spawn(program, { env: process.env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (data: Buffer) => {
    output += data.toString();
  });
  const ended = new Promise((done) => child.on('close', done));
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.equal(await ended, 0);
  const lengths = output
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[0]));
  assert.equal(lengths.length, 458, 'tcpdump -r demo.pcap | wc -l');
  assert.equal(
    lengths.reduce((sum, length) => sum + length, 0),
    engine.stats().rxBytes,
  );
});
