// Who may attach to a pipe, with real users and groups: its port's options mode, group and owner say so, the kernel sees
// to it, and who is refused gets one line that says what to do.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { Brick, BricksError, PktEngine } from '../../index.ts';
import { nativeFiles } from '../../native/build.ts';
import { parseCapture } from '../support/capture.ts';
import { startEngines } from '../support/engine_process.ts';
import { engineName } from '../support/engines.ts';
import { buildExample } from '../support/examples.ts';
import { makeFolder } from '../support/files.ts';
import { usePipeFolder } from '../support/pipes.ts';
import { skipWithout, start, until, waitMs } from '../support/programs.ts';
import { pipeProgram } from '../support/readers.ts';
import { skipUnreadable } from '../support/users.ts';

const runtimeFolder = usePipeFolder();
chmodSync(runtimeFolder, 0o755); // what keeps others out is the socket

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? skipWithout('setpriv', 'getent', 'cc') : 'needs root: other users';

/** Users that this host need not know, and a group that every Debian has. */
const stranger = { uid: 64_021, groups: '' };
const owner = { uid: 64_022, groups: '' };
const group = { name: 'daemon', id: 1 };
const member = { uid: 64_023, groups: String(group.id) };

type User = typeof stranger;

function as({ uid, groups }: User, command: readonly string[]): string[] {
  const more = groups === '' ? '--clear-groups' : `--groups=${groups}`;
  return ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--inh-caps=-all', more, ...command];
}

/** A folder from which everybody can run programs, with this one in it. */
function install(t: TestContext, file: string): string {
  const folder = makeFolder(t);
  chmodSync(folder, 0o755);
  const program = join(folder, basename(file));
  copyFileSync(file, program);
  chmodSync(program, 0o755);
  return program;
}

/** Pipes of one engine, by what their ports say. Packets without end. */
const outputs = {
  'access}0': '',
  'access}1': `?mode=0660&group=${group.name}`,
  'access}2': `?mode=0640&group=${group.id}`,
  'access}3': `?owner=${owner.uid}`,
  'access}4': '?mode=0666',
  'access}5': '?mode=0660&group=daem%6Fn',
} as const;

type PipeName = keyof typeof outputs;

/** Who may attach besides root: as unix(7) has it, who may write to the socket. */
const allowed: Readonly<Record<PipeName, readonly User[]>> = {
  'access}0': [],
  'access}1': [member],
  'access}2': [],
  'access}3': [owner],
  'access}4': [stranger, owner, member],
  'access}5': [member],
};

const pipeNames = Object.keys(outputs) as PipeName[];

/** Packets without end to every output, and what applications write to `input` to nowhere. */
function startEngine(t: TestContext, input: string, to: readonly string[]): PktEngine {
  const engine = new PktEngine(engineName(), { bufferSlots: 64 });
  t.after(() => {
    if (engine.isRunning) engine.stop();
    engine.delete();
  });
  engine.link(new Brick('Duplicator').connectInput('null:?frames=60').connectOutput(...to));
  return engine.link(new Brick('Dummy').connectInput(input).connectOutput('null:')).start();
}

function refusal(name: string): string {
  const remedy = 'become the user whom its engine runs as, or let its port say who may (?mode=0660&group=NAME)';
  return `pipe "${name}": no permission for ${runtimeFolder}/pipes/${name}.sock; ${remedy}\n`;
}

test('mode, group and owner say who may read a pipe', { skip }, async (t) => {
  const program = install(t, pipeProgram);
  const ports = pipeNames.map((name) => `${name.replace('}', '{')}${outputs[name]}`);
  startEngine(t, 'writers}0', ports);
  for (const name of pipeNames) {
    for (const user of [stranger, owner, member]) {
      const [command = '', ...args] = as(user, [program, '-q', '-c', '3', name]);
      const { status, stdout, stderr } = spawnSync(command, args, { timeout: waitMs });
      const who = `${name}, user ${user.uid}`;
      if (allowed[name].includes(user)) {
        assert.deepEqual([status, String(stderr)], [0, ''], who);
        assert.equal(parseCapture(stdout).packets.length, 3, who);
      } else {
        assert.deepEqual([status, stdout.length, String(stderr)], [1, 0, `bricks-pipe: ${refusal(name)}`], who);
      }
    }
  }
  const [command = '', ...args] = as(stranger, [program, '--list']);
  const { stdout, stderr } = spawnSync(command, args, { timeout: waitMs, encoding: 'utf8' });
  const denied = [...stdout.matchAll(/^(\S+) +\(no permission\)$/gm)].map(([, name]) => name);
  assert.deepEqual(denied, [...pipeNames.filter((name) => !allowed[name].includes(stranger)), 'writers}0']);
  assert.equal(stderr, `bricks-pipe: ${refusal('access}0')}`, 'the remedy, once');
  const socket = (name: PipeName) => statSync(join(runtimeFolder, 'pipes', `${name}.sock`));
  assert.deepEqual(
    pipeNames.map((name) => [(socket(name).mode & 0o777).toString(8), socket(name).uid, socket(name).gid]),
    [
      ['600', 0, 0],
      ['660', 0, group.id],
      ['640', 0, group.id],
      ['600', owner.uid, 0],
      ['666', 0, 0],
      ['660', 0, group.id],
    ],
  );
});

test('who may write a pipe is said in the same way', { skip }, async (t) => {
  const engine = startEngine(t, `in}0?mode=0660&group=${group.name}`, [`out{0?mode=0660&group=${group.name}`, 'out{1']);
  const program = install(t, buildExample('inline', makeFolder(t)));
  const library = install(t, join(nativeFilesFolder, nativeFiles.reader));
  const env = { ...process.env, LD_LIBRARY_PATH: dirname(library) };
  const startAs = (user: User, ...pipes: string[]) => {
    const [command = '', ...args] = as(user, [program, ...pipes]);
    return start(t, command, args, { env });
  };
  for (const [user, from] of [
    [stranger, 'out}0'],
    [member, 'out}1'],
  ] as const) {
    const refused = startAs(user, from, 'in}0');
    assert.deepEqual(await refused.ended(), { code: 1, signal: null });
    assert.equal(refused.output(), `inline: ${refusal(from)}`);
  }
  const granted = startAs(member, 'out}0', 'in}0');
  // The generator's packets are DNS queries: the application declines them.
  await until('its word', () => (engine.stats().ports[1]?.others.declined ?? 0) > 0);
  engine.stop();
  assert.deepEqual(await granted.ended(), { code: 0, signal: null }, granted.output());
});

test('options that say nothing sensible fail at the start, with the remedy', () => {
  for (const [option, problem] of [
    ['mode=rw', 'option "mode" is "rw"; it must be octal permissions, like 0660'],
    ['mode=668', 'option "mode" is "668"; it must be octal permissions, like 0660'],
    ['mode=1777', 'option "mode" is "1777"; it must be octal permissions, like 0660'],
    ['mode=', 'option "mode" is ""; it must be octal permissions, like 0660'],
    ['group=no_such_group', 'there is no group "no_such_group"; see getent group'],
    ['owner=no_such_user', 'there is no user "no_such_user"; see getent passwd'],
    ['owner=99999999999', 'there is no user "99999999999"; see getent passwd'],
  ] as const) {
    for (const [input, output] of [
      [`wrong}0?${option}`, 'right{0'],
      ['right}1', `wrong{1?${option}`],
    ] as const) {
      const isSaid = (error: unknown): boolean =>
        error instanceof BricksError &&
        /^port "(?:inject:wrong\}0|pipe:wrong\}1)": cannot open for (?:input|output): (.*)$/.exec(
          error.message,
        )?.[1] === problem;
      const engine = new PktEngine(engineName()).link(new Brick('Dummy').connectInput(input).connectOutput(output));
      assert.throws(() => engine.start(), isSaid, option);
      engine.delete();
    }
  }
});

test('an engine that may not give its socket away says who can', { skip: skip || skipUnreadable() }, async (t) => {
  const folder = makeFolder(t);
  chownSync(folder, stranger.uid, stranger.uid);
  const brick = { type: 'Dummy', inputs: ['null:?packets=1'], outputs: [`given{0?group=${group.id}`] };
  const place = { runtimeFolder: folder, as: as(stranger, []) };
  const refused = await startEngines(t, place, [{ name: 'e0', links: [{ brick }] }]).started();
  assert.match(
    refused?.error ?? '',
    /^port "pipe:given\}0": cannot open for output: its socket cannot be given to that .*; run as root .*a member of$/,
  );
  assert.deepEqual(readdirSync(join(folder, 'pipes')), [], 'nothing is left');
});
