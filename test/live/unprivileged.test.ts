// The daemon as its systemd unit runs it: an unprivileged user with the unit's capabilities and its command line. It
// reads and makes interfaces, every packet is accounted for, and only those who may use its control socket can.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { EngineStats } from '../../index.ts';
import { assertAccounting } from '../support/accounting.ts';
import { assertSameFrames } from '../support/capture.ts';
import { engineStats } from '../support/daemon.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { engineInterface, type LiveBed, makeLiveBed, readAnyCapture, readersOf, replay } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { commandOf, type Program, projectFolder, skipWithout, start, until } from '../support/programs.ts';
import { startReader } from '../support/readers.ts';
import { skipUnreadable } from '../support/users.ts';

const unit = readFileSync(join(projectFolder, 'shell/systemd/bricks-server.service'), 'utf8');

/** The value of a setting of the unit. */
function setting(name: string): string {
  const [, value] = new RegExp(`^${name}=(.*)$`, 'm').exec(unit) ?? assert.fail(`the unit has no ${name}=`);
  return value ?? '';
}

/** Users that this host need not know. The daemon's group is its own, as with User=bricks. */
const daemonUser = { uid: 64001, gid: 64001, groups: '' };
const member = { uid: 64002, gid: 64002, groups: String(daemonUser.gid) };
const stranger = { uid: 64003, gid: 64003, groups: '' };

/** A command line that runs the rest as a user, with capabilities of systemd's names and nothing else. */
function as({ uid, gid, groups }: typeof daemonUser, capabilities: readonly string[] = []): string[] {
  const set = ['-all', ...capabilities.map((name) => name.toLowerCase().replace(/^cap_/, '+'))].join(',');
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups === '' ? '--clear-groups' : `--groups=${groups}`,
    `--bounding-set=${set}`,
    `--inh-caps=${set}`,
    `--ambient-caps=${set}`,
    '--no-new-privs',
  ];
}

const capabilities = setting('CapabilityBoundingSet').split(' ');
const pipes = [0, 1, 2, 3].map((i) => `${engineInterface}}${i}`);

/** A copy of everything goes to a veth: port, another is balanced over four pipes. */
const script = `
  pe = PktEngine.new("e0", 1024, 0)
  dup = Brick.new("Duplicator"):connect_input("${engineInterface}"):connect_output("${engineInterface}{9", "veth:uv0")
  lb = Brick.new("LoadBalancer", 4):connect_input("${engineInterface}}9"):connect_outputs("${engineInterface}", 4)
  pe:link(dup:link(lb))
  pe:start()
  print("engine e0 runs")`;

function environment(bed: LiveBed): NodeJS.ProcessEnv {
  return { ...process.env, BRICKS_RUNTIME_DIR: bed.runtimeFolder, HOME: bed.runtimeFolder };
}

/** The unit's ExecStart=, with a script of ours and a group that is there; without `group` the option is left out. */
async function startDaemon(t: TestContext, bed: LiveBed, group: number | undefined): Promise<Program> {
  chownSync(bed.runtimeFolder, daemonUser.uid, daemonUser.gid);
  chmodSync(bed.runtimeFolder, 0o755);
  const file = join(bed.runtimeFolder, 'startup.lua');
  writeFileSync(file, script);
  const line = setting('ExecStart')
    .replace('/usr/bin/bricks-server', commandOf('bricks_server').join(' '))
    .replace(' --group bricks', group === undefined ? '' : ` --group ${group}`)
    .replace('/etc/bricks/startup.lua', file);
  const { command, args } = bed.receiver.inside(...as(daemonUser, capabilities), ...line.split(' '));
  const daemon = start(t, command, args, { env: environment(bed), stdio: ['ignore', 'pipe', 'pipe'] });
  await daemon.until(/engine e0 runs/);
  return daemon;
}

/** What bricks-shell prints for a user, and how it ends. */
async function shell(t: TestContext, bed: LiveBed, user: typeof daemonUser, code: string) {
  const [command = '', ...args] = [...as(user), ...commandOf('bricks_shell', ['-e', code])];
  const program = start(t, command, args, { env: environment(bed), stdio: ['ignore', 'pipe', 'pipe'] });
  const { code: status } = await program.ended();
  return { status, stdout: program.stdout(), text: program.output() };
}

/** The counters in the daemon's log, which has one JSON object a line. */
function finalStats(daemon: Program): EngineStats {
  const line = daemon
    .output()
    .split('\n')
    .findLast((text) => text.includes('"final statistics'));
  const { engines } = JSON.parse(line ?? assert.fail(`no final statistics: ${daemon.output()}`)) as {
    engines: unknown;
  };
  return engineStats(engines)[0] ?? assert.fail('no engine');
}

const skip = skipLive('setpriv', 'tcpreplay', 'tcpdump', 'editcap') || skipUnreadable();

test('the unit gives exactly its capabilities, and no way to more', () => {
  assert.equal(setting('AmbientCapabilities'), setting('CapabilityBoundingSet'));
  assert.equal(setting('NoNewPrivileges'), 'yes');
  assert.equal(setting('Environment'), `BRICKS_RUNTIME_DIR=/run/${setting('RuntimeDirectory')}`);
});

test('systemd understands every line of the unit', { skip: skipWithout('systemd-analyze') }, (t) => {
  const file = join(makeFolder(t), 'bricks-server.service');
  // The program and its manual pages are not installed here.
  writeFileSync(file, unit.replace(/^Documentation=.*$/m, '').replace('/usr/bin/bricks-server', '/bin/true'));
  const verified = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
  assert.deepEqual([verified.status, verified.stdout, verified.stderr], [0, '', '']);
});

test('without root: packets reach pipes and a veth: port, and all are accounted for', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const daemon = await startDaemon(t, bed, daemonUser.gid);
  const status = readFileSync(`/proc/${daemon.child.pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\s+${daemonUser.uid}\\s`, 'm'));
  const readers = pipes.map((pipe, i) => startReader(t, pipe, join(bed.folder, `${i}.pcap`), bed.runtimeFolder));
  const ask = async (code: string): Promise<string> => (await shell(t, bed, member, code)).stdout.trim();
  const attached = `local n = 0
    for _, port in ipairs(pe:stats().ports) do if (port.others.reader_pid or 0) > 0 then n = n + 1 end end return n`;
  await until('four readers', async () => (await ask(attached)) === '4');
  const sent = readAnyCapture(demoCapture, bed.folder);
  replay(bed, [demoCapture]);
  const handled = 'local s = pe:stats() return s.rx_packets .. " " .. s.in_flight';
  await until('every packet', async () => (await ask(handled)) === `${sent.length} 0`);
  const [veth] = JSON.parse(bed.receiver.run('ip', '-s', '-j', 'link', 'show', 'uv0')) as [
    { stats64: { rx: { packets: number } } },
  ];
  assert.equal(veth.stats64.rx.packets, sent.length, 'the veth pair carried every packet');
  daemon.child.kill('SIGTERM');
  assert.deepEqual(await daemon.ended(), { code: 0, signal: null }, daemon.output());
  const stats = finalStats(daemon);
  assertAccounting(stats);
  assert.deepEqual(
    [stats.rxPackets, stats.copies, stats.txPackets, stats.dropped, stats.lost, readersOf(stats)],
    [sent.length, sent.length, 2 * sent.length, 0, 0, 0],
  );
  const written = await Promise.all(readers.map((reader) => reader.packets()));
  assertSameFrames(written.flat(), sent, 'the four pipes together');
  assert.doesNotMatch(bed.receiver.run('ip', '-br', 'link'), /uv0/, 'the veth pair goes with the daemon');
});

test('the control socket is for its user, and with --group for the group', { skip }, async (t) => {
  for (const group of [undefined, daemonUser.gid]) {
    const bed = makeLiveBed(t);
    const daemon = await startDaemon(t, bed, group);
    const socket = statSync(join(bed.runtimeFolder, 'control.sock'));
    assert.equal(socket.mode & 0o777, group === undefined ? 0o600 : 0o660);
    assert.deepEqual([socket.uid, socket.gid], [daemonUser.uid, daemonUser.gid]);
    const statuses = await Promise.all([daemonUser, member, stranger].map((user) => shell(t, bed, user, '6 * 7')));
    const expected = group === undefined ? [0, 1, 1] : [0, 0, 1];
    assert.deepEqual(
      statuses.map(({ status }) => status),
      expected,
      statuses.map(({ text }) => text).join(''),
    );
    for (const { status, stdout, text } of statuses) {
      assert.equal(stdout, status === 0 ? '42\n' : '');
      if (status !== 0) assert.match(text, /^bricks-shell: .*control\.sock.*\n$/);
    }
    daemon.child.kill('SIGTERM');
    await daemon.ended();
  }
});
