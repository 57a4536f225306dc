// bricks-extcap --install and --uninstall: what Wireshark finds in its extcap folders starts the native program, also after
// an upgrade has put that elsewhere; what is somebody else's stays.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Done } from '../support/daemon.ts';
import { extcapProgram, TsharkUser } from '../support/extcap.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { commandOf, projectFolder, skipWithout } from '../support/programs.ts';

/** Runs the command bricks-extcap as a user with a home of its own. */
function extcap(wireshark: TsharkUser, args: readonly string[], env: NodeJS.ProcessEnv = {}): Done {
  const [command = '', ...rest] = commandOf('bricks_extcap', args);
  const options = { cwd: projectFolder, encoding: 'utf8', env: { ...wireshark.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(command, rest, options);
  return { status, stdout, stderr };
}

const filesOf = (wireshark: TsharkUser): string[] =>
  wireshark.extcapFolders.map((folder) => join(folder, 'bricks-extcap'));

/** What the installed program answers to Wireshark. */
function interfaces(wireshark: TsharkUser, file: string): string[] {
  const options = { encoding: 'utf8', env: wireshark.env, cwd: '/' } as const;
  const { stdout, stderr } = spawnSync(file, ['--extcap-interfaces', '--extcap-version=4.0'], options);
  assert.equal(stderr, '');
  return [...stdout.matchAll(/\{value=(.*?)\}/g)].map(([, value = '']) => value);
}

function installed(t: TestContext, env: NodeJS.ProcessEnv = {}): TsharkUser {
  const wireshark = new TsharkUser(t);
  const files = filesOf(wireshark);
  const done = extcap(wireshark, ['--install'], env);
  assert.deepEqual(done, { status: 0, stdout: files.map((file) => `installed ${file}\n`).join(''), stderr: '' });
  return wireshark;
}

test('installed for a user, tshark lists the pipes; uninstalled, no longer', {
  skip: skipWithout('tshark'),
}, async (t) => {
  const wireshark = installed(t);
  wireshark.send(demoCapture, 'eth3}0');
  assert.match(await wireshark.outputOf('tshark', '-D'), /^\d+\. bricks:eth3:0 /m);
  for (const file of filesOf(wireshark)) assert.deepEqual(interfaces(wireshark, file), ['bricks:eth3:0']);
  const done = extcap(wireshark, ['--uninstall']);
  const removed = filesOf(wireshark).map((file) => `removed ${file}\n`);
  assert.deepEqual(done, { status: 0, stdout: removed.join(''), stderr: '' });
  assert.doesNotMatch(await wireshark.outputOf('tshark', '-D'), /bricks:/);
  assert.deepEqual(
    wireshark.extcapFolders.flatMap((folder) => readdirSync(folder)),
    [],
  );
  assert.deepEqual(extcap(wireshark, ['--uninstall']), { status: 0, stdout: '', stderr: '' });
});

test('it goes on working where the native program has gone, and is renewed by another --install', (t) => {
  const build = makeFolder(t);
  cpSync(extcapProgram, join(build, 'bricks-extcap'));
  const wireshark = installed(t, { BRICKS_NATIVE_DIR: build });
  wireshark.send(demoCapture, 'eth3}0');
  const [file = ''] = filesOf(wireshark);
  assert.ok(readFileSync(file, 'utf8').includes(`'${build}/bricks-extcap'`));
  assert.deepEqual(interfaces(wireshark, file), ['bricks:eth3:0']);
  rmSync(build, { recursive: true });
  assert.deepEqual(interfaces(wireshark, file), ['bricks:eth3:0'], 'by way of the command');
  assert.equal(extcap(wireshark, ['--install']).status, 0);
  assert.ok(!readFileSync(file, 'utf8').includes(build));
});

test("a link to the program is replaced, dangling or not; somebody else's file is not touched", (t) => {
  const wireshark = new TsharkUser(t);
  const [first = '', second = ''] = filesOf(wireshark);
  for (const folder of wireshark.extcapFolders) mkdirSync(folder, { recursive: true });
  symlinkSync('/nowhere/bricks-extcap', first);
  symlinkSync(extcapProgram, second);
  assert.equal(extcap(wireshark, ['--install']).status, 0);
  for (const file of [first, second]) assert.ok(lstatSync(file).isFile());
  assert.ok(existsSync(extcapProgram), 'what the link led to stays');

  writeFileSync(first, '#!/bin/sh\necho mine\n');
  for (const action of ['--install', '--uninstall']) {
    const done = extcap(wireshark, [action]);
    assert.deepEqual([done.status, done.stdout], [1, '']);
    assert.match(done.stderr, /^bricks-extcap: \S+ was not installed by bricks-extcap; [^\n]+\n$/);
    assert.equal(readFileSync(first, 'utf8'), '#!/bin/sh\necho mine\n');
  }
});

test('--folder names another folder; quotes and blanks in paths are no obstacle', (t) => {
  const build = join(makeFolder(t), "it's a build");
  mkdirSync(build);
  cpSync(extcapProgram, join(build, 'bricks-extcap'));
  const wireshark = new TsharkUser(t);
  const folder = wireshark.path("Wire shark's/extcap");
  assert.equal(extcap(wireshark, ['--install', '--folder', folder], { BRICKS_NATIVE_DIR: build }).status, 0);
  wireshark.send(demoCapture, 'eth3}0');
  assert.deepEqual(interfaces(wireshark, join(folder, 'bricks-extcap')), ['bricks:eth3:0']);
  assert.deepEqual(
    wireshark.extcapFolders.filter((other) => existsSync(other)),
    [],
  );
});

const skipSystem = process.getuid?.() === 0 ? skipWithout('unshare', 'tshark') : 'needs root: a mount';

test('--system: the folder of all users', { skip: skipSystem }, async (t) => {
  const wireshark = new TsharkUser(t);
  const said = await wireshark.outputOf('tshark', '-G', 'folders');
  const folder = /^(?:Global )?Extcap path:\s+(\S+)$/m.exec(said)?.[1] ?? assert.fail(said);
  wireshark.send(demoCapture, 'eth3}0');
  // Over the real folder lies an empty one that goes with the process.
  const steps = [
    'mount -t tmpfs none "$0" && "$@" --install --system && tshark -D',
    '"$@" --uninstall --system && ls -A "$0" && echo end',
  ];
  const output = await wireshark.outputOf(
    'unshare',
    '-m',
    'sh',
    '-c',
    steps.join(' && '),
    folder,
    ...commandOf('bricks_extcap'),
  );
  assert.ok(output.includes(`installed ${folder}/bricks-extcap\n`), output);
  assert.match(output, /^\d+\. bricks:eth3:0 /m);
  assert.ok(output.endsWith(`removed ${folder}/bricks-extcap\nend\n`), output);
});

test('a folder that cannot be made and wrong usage are said on one line', (t) => {
  const wireshark = new TsharkUser(t);
  writeFileSync(wireshark.path('file'), '');
  const blocked = extcap(wireshark, ['--install', '--folder', wireshark.path('file/extcap')]);
  assert.equal(blocked.status, 1);
  assert.match(blocked.stderr, /^bricks-extcap: extcap folder \S+\/file\/extcap: [^\n]+ --folder\n$/);
  const refused = extcap(wireshark, ['--install', '--folder', '/proc/extcap']);
  assert.match(refused.stderr, /^bricks-extcap: extcap folder \/proc\/extcap: ENOENT[^\n]+ --folder\n$/);
  for (const args of [[], ['--install', '--uninstall'], ['--install', '--system', '--folder', '/tmp']]) {
    const done = extcap(wireshark, args);
    assert.equal(done.status, 2, args.join(' '));
    assert.match(done.stderr, /^bricks-extcap: [^\n]+\n$/);
  }
});
