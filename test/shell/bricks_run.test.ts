// bricks-run itself: what it runs and what it refuses, signals and status, its library in programs that have no use for it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { nativeFiles } from '../../native/build.ts';
import { device, PipeBed } from '../support/bricks_run.ts';
import { demoCapture, makeFolder } from '../support/files.ts';
import { nodeArguments, projectFolder, run, skipWithout, start, until } from '../support/programs.ts';
import { runProgram } from '../support/readers.ts';
import { skipTerminal, Terminal } from '../support/terminal.ts';

const library = join(dirname(runProgram), nativeFiles.pcap);
const wrapper = nodeArguments('shell/bricks_run.ts');
/** An unprivileged user of every Debian system. */
const nobody = 65534;

const bricksRun = (args: readonly string[], options = {}) =>
  spawnSync(runProgram, args, { encoding: 'utf8', ...options });

test('the program is run as it is: arguments, environment, status', () => {
  const shell = bricksRun(['--wait', 'sh', '-c', 'echo "$0 $1 $LD_PRELOAD $BRICKS_PCAP_WAIT"; exit 7', 'a', '--wait'], {
    env: { ...process.env, LD_PRELOAD: '/lib/nothing.so' },
  });
  assert.equal(shell.stdout, `a --wait ${library}:/lib/nothing.so 1\n`);
  assert.equal(shell.status, 7);
  // Nested, it is preloaded once.
  assert.equal(bricksRun([runProgram, 'sh', '-c', 'echo $LD_PRELOAD']).stdout, `${library}\n`);
});

test('scripts are run, and programs in PATH', (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'script'), '#!/bin/sh\necho script "$@"\n');
  chmodSync(join(folder, 'script'), 0o755);
  const env = { ...process.env, PATH: `/nonexistent:${folder}:${process.env.PATH}` };
  assert.equal(bricksRun(['script', 'x'], { env }).stdout, 'script x\n');
  assert.equal(bricksRun(['./script', 'x'], { cwd: folder }).stdout, 'script x\n');
});

test('what cannot be run is refused in one line', (t) => {
  const folder = makeFolder(t);
  const refused = (args: string[], status: number, text: RegExp, options = {}) => {
    const done = bricksRun(args, options);
    assert.deepEqual([done.status, done.stderr.match(/\n/g)?.length], [status, 1], done.stderr);
    assert.match(done.stderr, text);
  };
  refused([], 2, /which program\?/);
  refused(['nonexistent-program'], 127, /nonexistent-program: no such program in PATH/);
  refused(['/nonexistent/program'], 127, /No such file/);
  refused([demoCapture], 126, /not a program that may be run/);

  const instead = `instead: bricks-pipe 'eth3}0' | tcpdump -nr -`;
  writeFileSync(join(folder, 'static.c'), 'int main(void) { return 0; }\n');
  run('cc', ['-static', '-o', join(folder, 'static'), join(folder, 'static.c')]);
  refused(
    [join(folder, 'static')],
    126,
    new RegExp(`linked statically, and loads no library; ${instead.replace('|', '\\|')}`),
  );

  const foreign = readFileSync('/bin/true');
  foreign.writeUInt16LE(0xf3, 18); // e_machine: RISC-V
  writeFileSync(join(folder, 'foreign'), foreign, { mode: 0o755 });
  refused([join(folder, 'foreign')], 126, /another kind of processor/);
});

test('programs in secure-execution mode are refused', {
  skip: process.getuid?.() !== 0 && 'needs root: set-user-ID',
}, (t) => {
  const folder = makeFolder(t);
  chmodSync(folder, 0o755);
  const files = [runProgram, library, '/bin/true'].map((file) => join(folder, file.split('/').at(-1) ?? ''));
  [runProgram, library, '/bin/true'].forEach((file, i) => {
    copyFileSync(file, files[i] ?? '');
    chmodSync(files[i] ?? '', 0o755);
  });
  const [program = '', , victim = ''] = files;
  const asNobody = () => spawnSync(program, [victim], { encoding: 'utf8', uid: nobody, gid: nobody });
  assert.equal(asNobody().status, 0);
  chmodSync(victim, 0o4755);
  assert.match(asNobody().stderr, /set-user-ID.*become user 0/);
  assert.equal(bricksRun([victim]).status, 0, 'root may');
  chownSync(victim, 0, 0);
  chmodSync(victim, 0o2755);
  assert.match(asNobody().stderr, /set-group-ID/);
  chmodSync(victim, 0o755);
  if (skipWithout('setcap') === false) {
    run('setcap', ['cap_net_raw+ep', victim]);
    assert.match(asNobody().stderr, /file capabilities/);
    assert.equal(bricksRun([victim]).status, 0, 'root may');
  }
});

test('a program that does not capture has no sign of it', () => {
  const script = 'ls -l /proc/self/fd | wc -l; ls /proc/self/task | wc -l; grep -c libpcap /proc/self/maps';
  assert.equal(bricksRun(['sh', '-c', script]).stdout, spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout);
});

test('the library shows what it interposes, and nothing else', { skip: skipWithout('nm') }, () => {
  const symbols = run('nm', ['-D', '--defined-only', library]).match(/(?<= T )\S+/g) ?? [];
  assert.deepEqual(
    symbols.filter((name) => !/^pcap_\w+$|^ioctl$/.test(name)),
    [],
  );
});

test('every function of libpcap is interposed, or the README says why it need not be', {
  skip: skipWithout('nm', 'ldd', 'tcpdump'),
}, () => {
  const path = /libpcap\.so\S* => (\S+)/.exec(run('sh', ['-c', 'ldd "$(command -v tcpdump)"']))?.[1] ?? '';
  const functions = (file: string): string[] =>
    run('nm', ['-D', '--defined-only', file]).match(/(?<= T )(pcap|bpf)_\w+/g) ?? [];
  const text = readFileSync(join(projectFolder, 'native/libpcap/README.md'), 'utf8');
  const section = text.slice(text.indexOf('## Each function'));
  const [interposed = '', others = ''] = section.split('### Not interposed');
  const named = (part: string): string[] =>
    (part.match(/`((?:pcap|bpf)_\w+)`/g) ?? []).map((name) => name.slice(1, -1));
  const answered = functions(library).sort();
  assert.deepEqual(named(interposed).sort(), answered);
  // pcap_open() is in builds with remote capture only.
  const passed = functions(path).filter((name) => !answered.includes(name));
  assert.deepEqual(named(others).sort(), passed.sort());
});

test('modules that bring libpcap along are served', { skip: skipWithout('cc', 'tcpdump') }, async (t) => {
  const bed = new PipeBed(t);
  writeFileSync(
    bed.path('module.c'),
    `typedef struct pcap pcap_t;
pcap_t *pcap_open_live(const char *, int, int, int, char *);
const unsigned char *pcap_next(pcap_t *, void *);
int capture(const char *device) {
  static char error[256]; static long header[8];
  pcap_t *p = pcap_open_live(device, 0, 0, 0, error);
  return p != 0 && pcap_next(p, header) != 0 ? 42 : 1;
}\n`,
  );
  writeFileSync(
    bed.path('main.c'),
    `#include <dlfcn.h>
int main(int argc, char **argv) {
  void *module = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  return module == 0 ? 2 : ((int (*)(const char *))dlsym(module, "capture"))(argv[argc - 1]);
}\n`,
  );
  run('cc', ['-shared', '-fPIC', '-o', bed.path('module.so'), bed.path('module.c'), '-l:libpcap.so.0.8']);
  run('cc', ['-o', bed.path('main'), bed.path('main.c'), '-ldl']);
  bed.feed();
  const program = bed.run([bed.path('main'), bed.path('module.so'), device]);
  assert.equal((await program.ended()).code, 42, program.output());
});

test('the command bricks-run is transparent: signals, status, its own end', {
  skip: skipWithout('tcpdump'),
}, async (t) => {
  const bed = new PipeBed(t);
  const spawn = (...line: string[]) => start(t, 'node', [...wrapper, ...line], { stdio: ['ignore', 'pipe', 'pipe'] });
  assert.deepEqual(await spawn('sh', '-c', 'exit 9').ended(), { code: 9, signal: null });
  assert.deepEqual(await spawn('sh', '-c', 'kill -TERM $$').ended(), { code: null, signal: 'SIGTERM' });
  const counter = spawn('sh', '-c', 'trap "echo got it" USR1; echo ready; while :; do sleep 0.05; done');
  await counter.until(/ready/);
  counter.child.kill('SIGUSR1');
  await counter.until(/got it/);
  // To the wrapper alone, as a service manager would.
  bed.feed();
  const tcpdump = spawn('tcpdump', '-i', device, '-w', bed.path('x.pcap'));
  await bed.delivered();
  tcpdump.child.kill('SIGINT');
  assert.deepEqual(await tcpdump.ended(), { code: 0, signal: null });
  assert.match(tcpdump.output(), /458 packets captured/);
  bed.stop();
  // Killed, it leaves no program behind that holds the pipe. (-Z: the kernel forgets that where the program changes user.)
  bed.feed();
  const killed = spawn('tcpdump', '-Z', 'root', '-i', device, '-w', bed.path('y.pcap'));
  await bed.delivered();
  killed.child.kill('SIGKILL');
  await until(
    'the pipe to be free',
    () => !/\btcpdump\b/.test(run(join(dirname(runProgram), nativeFiles.pipeProgram), ['--list'])),
  );
});

test('a terminal that goes away ends the program, and the command as the program', {
  skip: skipTerminal,
}, async (t) => {
  const folder = makeFolder(t);
  const [inner, outer, status] = ['inner', 'outer', 'status'].map((name) => join(folder, name));
  // Nobody is ended by the signal itself: cat finds that there is no more to read.
  writeFileSync(String(inner), '#!/bin/sh\necho ready\ncat\nexit 7\n', { mode: 0o755 });
  const command = ['node', ...wrapper, inner].join(' ');
  writeFileSync(String(outer), `#!/bin/sh\ntrap '' HUP\n${command}\necho $? > ${status}\n`, { mode: 0o755 });
  const terminal = new Terminal(t, String(outer));
  await terminal.read('ready');
  terminal.program.child.kill('SIGKILL');
  const text = await until(
    'the end of the command',
    () => existsSync(String(status)) && readFileSync(String(status), 'utf8'),
  );
  assert.equal(text, '7\n');
});
