// Who may use the control socket: the kernel decides, by the socket's owner, mode and group.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Done, Runtime } from '../support/daemon.ts';
import { commandOf, projectFolder, run, skipWithout, waitMs } from '../support/programs.ts';

/** A group that every Debian has, and users that this host need not know. */
const group = { name: 'daemon', id: 1 };
const stranger = 64_011;
const member = 64_012;

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? skipWithout('setpriv', 'getent') : 'needs root: other users';

function as(uid: number, groups: readonly number[], runtime: Runtime, command: readonly string[]): Done {
  const set = ['--inh-caps=-all', `--reuid=${uid}`, `--regid=${uid}`];
  const more = groups.length === 0 ? '--clear-groups' : `--groups=${groups.join()}`;
  const env = { ...runtime.env, HOME: runtime.folder };
  const options = { env, cwd: projectFolder, encoding: 'utf8', timeout: waitMs } as const;
  const { status, stdout, stderr } = spawnSync('setpriv', [...set, more, ...command], options);
  return { status, stdout, stderr };
}

/** What the system says to connecting, without a program of the package between. */
function connectAs(uid: number, groups: readonly number[], runtime: Runtime): string {
  const source = `require('node:net').connect(process.argv[1])
    .on('connect', () => { console.log('connected'); process.exit(); })
    .on('error', ({ code }) => console.log(code))`;
  return as(uid, groups, runtime, ['node', '-e', source, runtime.socket]).stdout.trim();
}

/** A daemon in a folder that everybody may look into: what keeps others out is the socket. */
function openFolder(runtime: Runtime): void {
  chmodSync(runtime.folder, 0o755);
}

test('the socket is for its user alone: another gets EACCES, and one line', { skip }, async (t) => {
  const runtime = new Runtime(t);
  openFolder(runtime);
  runtime.startDaemon();
  assert.equal(connectAs(stranger, [], runtime), 'EACCES');
  assert.equal(connectAs(stranger, [0], runtime), 'EACCES', 'also of its group');
  assert.equal(connectAs(stranger, [group.id], runtime), 'EACCES');
  assert.equal(connectAs(0, [], runtime), 'connected');
  if (as(stranger, [], runtime, ['test', '-r', join(projectFolder, 'index.ts')]).status !== 0) {
    t.diagnostic('the programs of this folder are not readable to other users: they were not run as one');
    return;
  }
  for (const program of ['bricks_shell', 'bricks_kill_server']) {
    const done = as(stranger, [], runtime, commandOf(program));
    assert.deepEqual([done.status, done.stdout], [1, ''], done.stderr);
    assert.match(
      done.stderr,
      /^bricks-\S+: user \S+ may not use \S+control\.sock: it belongs to user id 0; [^\n]*--group\n$/,
    );
  }
  assert.equal(runtime.run('bricks_shell', ['-e', '1']).stdout, '1\n', 'it is not disturbed');
});

test('--group lets its members in, and nobody else', { skip }, (t) => {
  assert.match(run('getent', ['group', group.name]), new RegExp(`^${group.name}:[^:]*:${group.id}:`));
  for (const name of [group.name, String(group.id)]) {
    const runtime = new Runtime(t);
    openFolder(runtime);
    runtime.startDaemon(['--group', name]);
    const { mode, gid, uid } = statSync(runtime.socket);
    assert.deepEqual([(mode & 0o777).toString(8), gid, uid], ['660', group.id, 0]);
    assert.equal(connectAs(member, [group.id], runtime), 'connected');
    assert.equal(connectAs(stranger, [], runtime), 'EACCES');
    assert.equal(connectAs(stranger, [group.id + 1], runtime), 'EACCES');
  }
});

test('a directory that its user may not write to: one line, and no daemon', { skip }, (t) => {
  const runtime = new Runtime(t);
  openFolder(runtime);
  if (as(stranger, [], runtime, ['test', '-r', join(projectFolder, 'index.ts')]).status !== 0) {
    return t.skip('the programs of this folder are not readable to other users');
  }
  for (const args of [[], ['--foreground'], ['--log', '/dev/null']]) {
    const done = as(stranger, [], runtime, commandOf('bricks_server', args));
    assert.deepEqual([done.status, done.stdout], [1, '']);
    assert.match(done.stderr, /^bricks-server: [^\n]*(EACCES|Permission denied)[^\n]*\n$/);
    assert.ok(!existsSync(runtime.socket));
  }
  const nowhere = as(stranger, [], runtime, [
    'env',
    '-u',
    'BRICKS_RUNTIME_DIR',
    '-u',
    'XDG_RUNTIME_DIR',
    ...commandOf('bricks_server'),
  ]);
  assert.equal(nowhere.status, 1);
  assert.equal(
    nowhere.stderr,
    'bricks-server: runtime directory: there is none for this user; ' +
      'set BRICKS_RUNTIME_DIR to a short path that you may write to\n',
  );
});
