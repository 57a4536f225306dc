// Where the daemon's files are: by the same rule as the pipes' sockets, which the data plane follows on its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { daemonFiles } from '../../shell/protocol/address.ts';
import { makeFolder } from '../support/files.ts';
import { projectFolder } from '../support/programs.ts';

/** Prints what the control plane calls the runtime directory, and serves a pipe meanwhile. */
const source = `
  import { existsSync } from 'node:fs';
  import { Brick, PktEngine } from './index.ts';
  import { runtimeDirectory } from './shell/protocol/address.ts';
  const brick = new Brick('Dummy').connectInput('null:?packets=1').connectOutput('address{0');
  const engine = new PktEngine('e0').link(brick).start();
  console.log(runtimeDirectory(), existsSync(runtimeDirectory() + '/pipes/address}0.sock'));
  engine.stop();`;

function serve(variables: NodeJS.ProcessEnv): string {
  const { BRICKS_RUNTIME_DIR: _own, XDG_RUNTIME_DIR: _user, ...env } = process.env;
  const args = ['--import', 'tsx', '--input-type=module', '-e', source];
  const { stdout, stderr, status } = spawnSync('node', args, {
    cwd: projectFolder,
    encoding: 'utf8',
    env: { ...env, ...variables },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('the daemon and the pipes have one runtime directory', (t) => {
  const folder = makeFolder(t);
  assert.equal(serve({ BRICKS_RUNTIME_DIR: folder }), `${folder} true\n`);
  assert.ok(existsSync(join(folder, 'pipes')));
  // Without a variable of our own it depends on who asks.
  const isRoot = process.geteuid?.() === 0;
  const user = makeFolder(t);
  const expected = isRoot ? '/run/bricks' : `${user}/bricks`;
  assert.equal(serve({ XDG_RUNTIME_DIR: user }), `${expected} true\n`);
  assert.equal(serve({ BRICKS_RUNTIME_DIR: '', XDG_RUNTIME_DIR: user }), `${expected} true\n`);
});

test('a path too long for a socket is one line with the remedy', (t) => {
  const before = process.env.BRICKS_RUNTIME_DIR;
  t.after(() => {
    if (before === undefined) delete process.env.BRICKS_RUNTIME_DIR;
    else process.env.BRICKS_RUNTIME_DIR = before;
  });
  const name = '/control.sock';
  process.env.BRICKS_RUNTIME_DIR = `/${'x'.repeat(106 - name.length)}`;
  assert.equal(Buffer.byteLength(daemonFiles().socket), 107);
  process.env.BRICKS_RUNTIME_DIR += 'x';
  assert.throws(
    daemonFiles,
    /^BricksError: runtime directory: .* 108 bytes long, .* 107; set BRICKS_RUNTIME_DIR to a short/,
  );
});
