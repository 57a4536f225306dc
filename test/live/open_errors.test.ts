// Why a port cannot be opened, said by every driver for every cause that can be provoked: one line that names driver, device
// and direction, what is wrong in words, and what to do about it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { drivers } from '../../index.ts';
import { nativeFiles } from '../../native/build.ts';
import { type EngineProcess, type Place, startEngines } from '../support/engine_process.ts';
import { makeFolder } from '../support/files.ts';
import { connect, makeNamespace, skipLive } from '../support/netns.ts';
import { run } from '../support/programs.ts';
import { skipUnreadable } from '../support/users.ts';

const skip = skipLive('setpriv', 'prlimit');

type Role = 'input' | 'output';

/** A port that cannot be opened. */
interface Row {
  /** As a user writes it. */
  readonly port: string;
  /** Both, where none is said. */
  readonly role?: Role;
  readonly code: string;
  /** What is wrong: the beginning of what the error says. */
  readonly cause: RegExp;
  /** Its end: what to do. */
  readonly remedy: RegExp;
}

/** The driver's part of a port's name, behind which nothing else tells which driver it is. */
const hasDriver = (row: Row): boolean => {
  const name = /^\w+/.exec(row.port)?.[0];
  return drivers.some((driver) => driver.name === name);
};

/** What errors call the port: as it is written, or what statistics call it. */
function labelOf(port: string, role: Role): string {
  const name = port.replace(/\?[^?]*$/, '');
  return name.includes(':') ? name : `${role === 'input' ? 'inject' : 'pipe'}:${name.replace('{', '}')}`;
}

function assertRefusal(failure: { error: string; code: string } | undefined, row: Row, role: Role): void {
  assert.ok(failure !== undefined, `${row.port} cannot be opened as ${role}`);
  const { error, code } = failure;
  const start = `port "${labelOf(row.port, role)}": cannot open for ${role}: `;
  assert.ok(error.startsWith(start), `begins with ${start}: ${error}`);
  assert.ok(!/[\n\t]/.test(error), `one line: ${error}`);
  assert.doesNotMatch(error, /errno|Unknown error|undefined|\(null\)|EAL:|; ;|: ;|; $/, error);
  const said = error.slice(start.length);
  assert.match(said, new RegExp(`^(?:${row.cause.source})`), error);
  assert.match(said, new RegExp(`[;:(] .*(?:${row.remedy.source})`), error);
  assert.equal(code, row.code, error);
}

/** Whether the port is opened as an input or an output, the other end takes or makes nothing. */
function describe({ port }: Pick<Row, 'port'>, role: Role, name: string) {
  const ends =
    role === 'input' ? { inputs: [port], outputs: ['null:'] } : { inputs: ['null:?packets=1'], outputs: [port] };
  return { name, links: [{ brick: { type: 'Dummy', ...ends } }] };
}

async function check(engines: EngineProcess, rows: readonly Row[]): Promise<void> {
  for (const row of rows.filter(hasDriver))
    for (const role of row.role === undefined ? (['input', 'output'] as const) : [row.role])
      assertRefusal(await engines.make(describe(row, role, 'refused')), row, role);
}

/** Engines in a namespace that has: in0, of a veth pair. */
async function startIn(t: TestContext, place: Partial<Place> = {}): Promise<EngineProcess> {
  const namespace = place.namespace ?? makeBed(t);
  const engines = startEngines(t, { namespace, runtimeFolder: makeFolder(t), ...place }, []);
  assert.equal(await engines.started(), undefined);
  return engines;
}

function makeBed(t: TestContext) {
  const namespace = makeNamespace(t, 'errors');
  const other = makeNamespace(t, 'peer');
  connect(namespace, 'in0', other, 'out0');
  return namespace;
}

test('interfaces', { skip }, async (t) => {
  const namespace = makeBed(t);
  const engines = await startIn(t, { namespace });
  const have = { code: 'ENODEV', cause: /no such interface/, remedy: /have: .*in0/ };
  await check(engines, [
    { port: 'packet:none0', ...have },
    { port: 'xdp:none0', ...have },
    { port: 'xdp:lo', code: 'EPROTONOSUPPORT', cause: /lo is not Ethernet/, remedy: /use packet:lo$/ },
    {
      port: 'xdp:in0?queue=7',
      role: 'input',
      code: 'EINVAL',
      cause: /in0 has no receive queue 7, only queue 0/,
      remedy: /use that, or give it more \(ethtool -L\)$/,
    },
    {
      port: 'xdp:in0?mode=fast',
      code: 'EINVAL',
      cause: /option "mode" is "fast"/,
      remedy: /must be auto, zerocopy or copy$/,
    },
    {
      port: 'xdp:in0?mode=zerocopy',
      code: 'ENOTSUP',
      cause: /the driver of in0 has no zerocopy mode on queue 0/,
      remedy: /use \?mode=auto$/,
    },
    {
      port: 'xdp:in0?mode=zerocopy&attach=skb',
      code: 'EINVAL',
      cause: /\?mode=zerocopy does not go with \?attach=skb/,
      remedy: /use \?attach=native$/,
    },
    { port: 'veth:lo', code: 'EEXIST', cause: /interface lo exists without lo-in/, remedy: /use another name$/ },
    { port: 'veth:thirteenbytes', code: 'ENAMETOOLONG', cause: /the name is too long/, remedy: /at most 12 bytes$/ },
    {
      port: 'veth:a/b',
      code: 'EINVAL',
      cause: /cannot create a\/b and a\/b-in with an mtu of 1500: Invalid/,
      remedy: /change the name/,
    },
    {
      port: 'tap:in0',
      code: 'EINVAL',
      cause: /an interface of this name exists and is not a tap/,
      remedy: /use another name$/,
    },
    {
      port: 'tap:a-name-of-more-than-15',
      code: 'EINVAL',
      cause: /an interface's name has 1 to 15 bytes/,
      remedy: /use another name$/,
    },
    { port: 'tap:a/b', code: 'EINVAL', cause: /.*/, remedy: /use another name$/ },
    { port: 'null:?ip=5', role: 'input', code: 'EINVAL', cause: /option "ip" is 5/, remedy: /must be 4 or 6$/ },
    {
      port: 'null:?ip=6&frames=60',
      role: 'input',
      code: 'EINVAL',
      cause: /frames of 60 bytes do not hold UDP/,
      remedy: /say frames=62/,
    },
  ]);
  namespace.run('sh', '-c', 'ip addr add 10.9.0.1/24 dev in0; ip route add default via 10.9.0.2');
  await check(engines, [
    {
      port: 'xdp:in0',
      role: 'input',
      code: 'EPERM',
      cause: /xdp takes traffic from the host, and in0 carries this host's default route/,
      remedy: /use packet:in0, which gets a copy, or say \?force=1$/,
    },
  ]);
  await engines.quit();
});

test('netmap without its module', { skip }, async (t) => {
  const namespace = makeBed(t);
  namespace.run('sh', '-c', 'ip addr add 10.9.0.1/24 dev in0; ip route add default via 10.9.0.2');
  if (spawnSync('test', ['-e', '/dev/netmap']).status === 0) return t.skip('this machine has netmap');
  const engines = await startIn(t, { namespace });
  const lacks = {
    code: 'ENOENT',
    cause: /there is no \/dev\/netmap/,
    remedy: /load the netmap module \(modprobe netmap\)/,
  };
  await check(engines, [
    { port: 'netmap:in0', ...lacks },
    { port: 'netmap:in0{1', role: 'input', ...lacks },
  ]);
  await engines.quit();
});

test('what another process has', { skip }, async (t) => {
  const namespace = makeBed(t);
  const runtimeFolder = makeFolder(t);
  const folder = makeFolder(t);
  const owner = startEngines(t, { namespace, runtimeFolder }, [
    describe({ port: 'xdp:in0' }, 'input', 'a'),
    describe({ port: 'tap:held0' }, 'input', 'b'),
    describe({ port: `pcap:${folder}/held.pcap` }, 'output', 'c'),
    describe({ port: 'held{0' }, 'output', 'd'),
    ...(drivers.some(({ name }) => name === 'memif')
      ? [describe({ port: `memif:${folder}/held.sock` }, 'input', 'e')]
      : []),
  ]);
  assert.equal(await owner.started(), undefined);
  const engines = await startIn(t, { namespace, runtimeFolder });
  await check(engines, [
    {
      port: 'xdp:in0',
      code: 'EBUSY',
      cause: /queue 0 of in0 is in use by another program's or engine's AF_XDP socket/,
      remedy: /stop that one, or use another queue \(\?queue=\)$/,
    },
    { port: 'tap:held0', code: 'EBUSY', cause: /another program has this tap open/, remedy: /use another name$/ },
    {
      port: `pcap:${folder}/held.pcap`,
      role: 'output',
      code: 'EAGAIN',
      cause: /is written or read by another port/,
      remedy: /give another file$/,
    },
    {
      port: `pcap:${folder}/held.pcap`,
      role: 'input',
      code: 'EAGAIN',
      cause: /is being written by a capture output/,
      remedy: /give another file/,
    },
    {
      port: `memif:${folder}/held.sock`,
      code: 'EADDRINUSE',
      cause: /this memif socket has a server already: Address already in use/,
      remedy: /be its client \(\?role=client\)$/,
    },
  ]);
  const served = { code: 'EADDRINUSE', cause: new RegExp(`already served by process ${owner.program.child.pid}`) };
  for (const role of ['input', 'output'] as const) {
    const row = { port: role === 'input' ? 'held}0' : 'held{0', ...served, remedy: /stop it or choose another name$/ };
    assertRefusal(await engines.make(describe(row, role, 'refused')), row, role);
  }
  await engines.quit();
  await owner.quit();
});

test('files', { skip }, async (t) => {
  const folder = makeFolder(t);
  const file = (name: string): string => join(folder, name);
  mkdirSync(file('empty'));
  writeFileSync(file('nothing.pcap'), '');
  writeFileSync(file('text.pcap'), 'this is no capture\n'.repeat(10));
  writeFileSync(file('cut.pcap'), Buffer.from('d4c3b2a102000400', 'hex'));
  writeFileSync(file('version.pcap'), Buffer.concat([Buffer.from('d4c3b2a109000900', 'hex'), Buffer.alloc(64)]));
  writeFileSync(
    file('broken.pcap.gz'),
    Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), Buffer.alloc(64, 0xff)]),
  );
  run('mkfifo', [file('fifo')]);
  const engines = await startIn(t);
  const input = { role: 'input' } as const;
  const output = { role: 'output' } as const;
  const path = (name: string): string => `pcap:${file(name)}`;
  await check(engines, [
    { port: path('none.pcap'), ...input, code: 'ENOENT', cause: /no such file/, remedy: /give an existing capture/ },
    { port: path('none/a.pcap'), ...output, code: 'ENOENT', cause: /no such directory/, remedy: /create it first$/ },
    { port: path('text.pcap/a'), code: 'ENOTDIR', cause: /its path leads through a file/, remedy: /give another$/ },
    {
      port: path('empty'),
      ...output,
      code: 'EISDIR',
      cause: /is a directory/,
      remedy: /give the name of a file to write$/,
    },
    { port: path('empty'), ...input, code: 'ENOENT', cause: /no file in this directory/, remedy: /put captures there/ },
    {
      port: path('nothing.pcap'),
      ...input,
      code: 'EINVAL',
      cause: /the file is empty/,
      remedy: /give a pcap or pcapng/,
    },
    {
      port: path('text.pcap'),
      ...input,
      code: 'EINVAL',
      cause: /not a capture/,
      remedy: /give a pcap or pcapng file$/,
    },
    { port: path('cut.pcap'), ...input, code: 'EINVAL', cause: /a capture cut off/, remedy: /give a whole one$/ },
    { port: path('version.pcap'), ...input, code: 'EINVAL', cause: /version 9\.9/, remedy: /give another file$/ },
    {
      port: path('broken.pcap.gz'),
      ...input,
      code: 'EBADMSG',
      cause: /the gzip data is broken/,
      remedy: /give a whole file$/,
    },
    {
      port: path('fifo'),
      ...output,
      code: 'ENXIO',
      cause: /nobody reads this FIFO/,
      remedy: /start its reader first$/,
    },
    { port: 'pcap:/dev/full/a', ...output, code: 'ENOTDIR', cause: /its path leads/, remedy: /give another$/ },
  ]);
  // The middle of a long name is left out: what is wrong and what to do has room.
  const failure = await engines.make(describe({ port: path(`${'a'.repeat(2000)}.pcap`) }, 'input', 'long'));
  const said =
    /^port "pcap:\/tmp\/\S+\/a+\.\.\.a+\.pcap": cannot open for input: File name too long; give another file$/;
  assert.match(failure?.error ?? '', said);
  await engines.quit();
});

test('pipes', { skip }, async (t) => {
  const engines = await startIn(t);
  const octal = { code: 'EINVAL', cause: /option "mode" is "rw"/, remedy: /must be octal permissions, like 0660$/ };
  const user = { code: 'EINVAL', cause: /there is no user "no_such_user"/, remedy: /see getent passwd$/ };
  for (const row of [
    { port: 'a{0?mode=rw', ...octal },
    { port: 'a{0?owner=no_such_user', ...user },
  ])
    assertRefusal(await engines.make(describe(row, 'output', 'refused')), row, 'output');
  await engines.quit();
  for (const [runtimeFolder, code, cause] of [
    ['/proc/none', 'ENOENT', /cannot create the directory \/proc\/none: No such file or directory/],
    [join(makeFolder(t), 'x'.repeat(100)), 'ENAMETOOLONG', /.*the path of its socket would be \d+ bytes long/],
  ] as const) {
    const elsewhere = await startIn(t, { runtimeFolder });
    const row = { port: 'a{0', code, cause, remedy: /set BRICKS_RUNTIME_DIR to/ };
    assertRefusal(await elsewhere.make(describe(row, 'output', 'refused')), row, 'output');
    await elsewhere.quit();
  }
});

test('devices of DPDK', { skip }, async (t) => {
  if (!drivers.some(({ name }) => name === 'dpdk')) return t.skip('the driver "dpdk" is not in this build');
  const engines = await startIn(t);
  const remedy = /check its name and arguments, and that its driver is installed \(apt-cache search librte-net-\)$/;
  await check(engines, [
    {
      port: 'dpdk:net_none0',
      code: 'ENODEV',
      cause: /DPDK has no device net_none0: no driver has such a name/,
      remedy,
    },
    {
      port: 'dpdk:net_pcap0,rx_pcap=/none/a.pcap',
      code: 'ENOENT',
      cause: /DPDK has no device net_pcap0: Couldn't open \/none\/a.pcap: .*No such file or directory/,
      remedy,
    },
    {
      port: 'dpdk:net_af_packet0,iface=none0',
      code: 'ENODEV',
      cause: /DPDK has no device net_af_packet0: .*No such device/,
      remedy,
    },
    {
      port: 'dpdk:net_null0,none=1',
      code: 'ENODEV',
      cause: /DPDK has no device net_null0: its driver refuses it/,
      remedy,
    },
    {
      port: 'dpdk:net_null0?queue=7',
      role: 'input',
      code: 'EINVAL',
      cause: /net_null0 has no receive queue 7, only queue 0/,
      remedy: /use that, or give it more \(\?queues=8\)$/,
    },
    {
      port: 'dpdk:net_ring0?queues=20',
      code: 'EINVAL',
      cause: /net_ring0 has at most 16 queues each way/,
      remedy: /say \?queues=16$/,
    },
    {
      port: 'dpdk:net_null0?mbufs=4000000',
      code: 'ENOMEM',
      cause: /no memory for 4000000 buffers of 2048 bytes \(\d+ MiB\): Cannot allocate memory/,
      remedy: /huge|--no-huge -m/,
    },
    {
      port: 'dpdk:0000:ff:1f.7',
      code: 'ENODEV',
      cause: /DPDK has started for virtual devices only/,
      remedy: /start this process with --dpdk-eal "-a 0000:ff:1f.7"$/,
    },
    {
      port: 'memif:/none/a.sock',
      code: 'ENOENT',
      cause: /the folder \/none of the socket, as its server: No such/,
      remedy: /make it$/,
    },
    {
      port: 'memif:/none/a.sock?role=client',
      code: 'ENOENT',
      cause: /the folder \/none of the socket, as its client: No such/,
      remedy: /make it$/,
    },
    {
      port: 'memif:/run/a.sock?role=guest',
      code: 'EINVAL',
      cause: /option "role" is "guest"/,
      remedy: /must be server or client$/,
    },
    {
      port: 'memif:a.sock',
      code: 'EINVAL',
      cause: /the name of a socket is a path/,
      remedy: /say memif:\/run\/name.sock$/,
    },
    {
      port: 'memif:/run/a.sock?secret=0123456789012345678901234',
      code: 'EINVAL',
      cause: /option "secret" is too long/,
      remedy: /must be at most 24 bytes/,
    },
  ]);
  await engines.quit();
});

for (const { eal, code, cause, remedy } of [
  {
    eal: '--frobnicate',
    code: 'EINVAL',
    cause: /unrecognized option '--frobnicate'/,
    remedy: /correct its options \(--dpdk-eal,/,
  },
  {
    eal: '-m 8000000',
    code: 'ENOMEM',
    cause: /Not enough memory available/,
    remedy: /huge pages \(sysctl vm.nr_hugepages=\d+\)/,
  },
  {
    eal: '--huge-dir /none',
    code: 'EACCES',
    cause: /Cannot get hugepage information/,
    remedy: /or use none \(--dpdk-eal --no-huge\)/,
  },
]) {
  test(`DPDK started with ${eal}`, { skip }, async (t) => {
    if (!drivers.some(({ name }) => name === 'dpdk')) return t.skip('the driver "dpdk" is not in this build');
    const engines = await startIn(t, { env: { BRICKS_DPDK_EAL: eal } });
    const row = { port: 'dpdk:net_null0', code, cause: new RegExp(`DPDK does not start: ${cause.source}`), remedy };
    await check(engines, [row]);
    await engines.quit();
  });
}

/** A command that runs the rest as a user of no rights, or of those. */
const as = (capabilities = '-all'): string[] => [
  'setpriv',
  '--reuid=64003',
  '--regid=64003',
  '--clear-groups',
  `--inh-caps=${capabilities}`,
  `--ambient-caps=${capabilities}`,
  `--bounding-set=${capabilities}`,
  '--no-new-privs',
];

test('a user without rights', { skip: skip || skipUnreadable() }, async (t) => {
  const runtimeFolder = makeFolder(t);
  const folder = makeFolder(t);
  chmodSync(folder, 0o755);
  chmodSync(runtimeFolder, 0o777);
  mkdirSync(join(folder, 'locked'), { mode: 0o700 });
  writeFileSync(join(folder, 'secret.pcap'), '', { mode: 0o600 });
  const engines = await startIn(t, { as: as(), runtimeFolder });
  const interfaces = {
    code: 'EPERM',
    cause: /no permission to create interfaces/,
    remedy: /run as root or grant CAP_NET_ADMIN/,
  };
  await check(engines, [
    {
      port: 'packet:in0',
      code: 'EPERM',
      cause: /no permission for packet sockets/,
      remedy: /run as root or grant CAP_NET_RAW/,
    },
    { port: 'veth:new0', ...interfaces },
    { port: 'tap:new0', ...interfaces },
    {
      port: 'xdp:in0',
      code: 'EPERM',
      cause: /no permission for AF_XDP sockets/,
      remedy: /run as root or grant CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF/,
    },
    {
      port: `pcap:${folder}/secret.pcap`,
      role: 'input',
      code: 'EACCES',
      cause: /permission denied/,
      remedy: /make it readable for this user$/,
    },
    {
      port: `pcap:${folder}/locked`,
      role: 'input',
      code: 'EACCES',
      cause: /.*ermission denied/,
      remedy: /make it readable for this user$/,
    },
    {
      port: `pcap:${folder}/new.pcap`,
      role: 'output',
      code: 'EACCES',
      cause: /permission denied/,
      remedy: /a file that this user can write$/,
    },
    {
      port: `memif:${folder}/a.sock`,
      code: 'EACCES',
      cause: /the folder \S+ of the socket, as its server: Permission denied/,
      remedy: /use one that this user can write$/,
    },
    {
      port: `memif:${folder}/locked/a.sock?role=client`,
      code: 'EACCES',
      cause: /the folder \S+ of the socket, as its client: Permission denied/,
      remedy: /use one that this user can enter$/,
    },
    {
      port: 'dpdk:net_af_packet0,iface=in0',
      code: 'EPERM',
      cause: /DPDK has no device net_af_packet0: Could not open AF_PACKET socket/,
      remedy: /run as root, or check/,
    },
    {
      port: 'dpdk:net_tap0',
      code: 'EPERM',
      cause: /DPDK has no device net_tap0: .*Operation not permitted/,
      remedy: /run as root, or check/,
    },
  ]);
  await engines.quit();

  const pipes = await startIn(t, { as: as(), runtimeFolder: folder });
  const row = {
    port: 'a{0',
    code: 'EACCES',
    cause: /cannot create the directory \S+: Permission denied/,
    remedy: /set BRICKS_RUNTIME_DIR to one that is writable$/,
  };
  assertRefusal(await pipes.make(describe(row, 'output', 'refused')), row, 'output');
  await pipes.quit();
});

test('a user with some of the rights that AF_XDP takes', { skip: skip || skipUnreadable() }, async (t) => {
  const runtimeFolder = makeFolder(t);
  chmodSync(runtimeFolder, 0o777);
  const remedy = /run as root or grant CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF/;
  const engines = await startIn(t, { as: as('-all,+net_raw'), runtimeFolder });
  await check(engines, [
    { port: 'xdp:in0?umem_mb=1', role: 'input', code: 'EPERM', cause: /no permission for XDP programs/, remedy },
  ]);
  await engines.quit();
});

test('locked memory that does not suffice', { skip }, async (t) => {
  const limits = ['prlimit', '--memlock=65536:65536', 'setpriv', '--bounding-set=-ipc_lock', '--inh-caps=-ipc_lock'];
  const engines = await startIn(t, { as: limits });
  await check(engines, [
    {
      port: 'xdp:in0',
      code: 'ENOBUFS',
      cause: /cannot have 64 MiB of buffers: No buffer space available/,
      remedy: /less \(\?umem_mb=\), or raise the limit of locked memory \(ulimit -l\)$/,
    },
  ]);
  await engines.quit();
});

/** No descriptor but `spare` more can be had by a process from now on. */
function limitDescriptors(pid: number, spare: number): void {
  const used = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  const free = Array.from({ length: used.size + spare + 1 }, (_, fd) => fd).filter((fd) => !used.has(fd));
  run('prlimit', [`--pid=${pid}`, `--nofile=${free[spare]}:`]);
}

test('descriptors that do not suffice', { skip }, async (t) => {
  const folder = makeFolder(t);
  const engines = await startIn(t);
  const { pid } = engines.program.child;
  assert.ok(pid !== undefined);
  const limited = { code: 'EMFILE', cause: /.*too many open files/, remedy: /raise the limit \(ulimit -n\)$/ };
  // What the first engine of a process takes, beside the one of each engine.
  assert.equal(await engines.make(describe({ port: 'null:?packets=1' }, 'input', 'warm')), undefined);
  await engines.tell('halt', 'warm');
  limitDescriptors(pid, 1);
  await check(engines, [
    { port: 'packet:in0', ...limited },
    { port: 'veth:new0', ...limited },
    { port: 'tap:new0', ...limited },
    { port: 'xdp:in0', ...limited },
    { port: `pcap:${folder}/a.pcap`, ...limited },
  ]);
  for (const role of ['input', 'output'] as const) {
    const row = { port: role === 'input' ? 'a}0' : 'a{0', ...limited };
    assertRefusal(await engines.make(describe(row, role, 'refused')), row, role);
  }
  // As many as the first step takes, so that a later one fails.
  for (let spare = 2; spare < 6; spare++) {
    run('prlimit', [`--pid=${pid}`, '--nofile=1024:']);
    limitDescriptors(pid, spare);
    for (const port of ['packet:in0', 'tap:new0', 'a{0']) {
      const role = 'output';
      const failure = await engines.make(describe({ port, ...limited }, role, `spare${spare}`));
      if (failure === undefined) await engines.tell('halt', `spare${spare}`);
      else assertRefusal(failure, { port, ...limited }, role);
    }
  }
  run('prlimit', [`--pid=${pid}`, '--nofile=1024:']);
  await engines.quit();
});

test('modules that are missing, of another version, or lack a library', { skip }, async (t) => {
  const folder = makeFolder(t);
  cpSync(join(nativeFilesFolder, nativeFiles.engine), join(folder, nativeFiles.engine));
  const module = join(folder, 'packet-bricks-xdp.so');
  const place = (): Partial<Place> => ({ env: { BRICKS_NATIVE_DIR: folder } });
  const row = { port: 'xdp:in0', role: 'input' } as const;

  const missing = await startIn(t, place());
  await check(missing, [
    {
      ...row,
      code: 'ENOENT',
      cause: /driver "xdp" is not in this build/,
      remedy: /install libxdp-dev \(apt-get install libxdp-dev\)/,
    },
  ]);
  await missing.quit();

  const source = join(folder, 'module.c');
  writeFileSync(source, 'void pb_gone(void); void *pb_module_exports(void) { pb_gone(); return 0; }');
  run('cc', ['-shared', '-fPIC', '-o', module, source]);
  const outdated = await startIn(t, place());
  await check(outdated, [
    {
      ...row,
      code: 'EPROTO',
      cause: /driver "xdp": its module \S+ is of another version/,
      remedy: /run npm run build$/,
    },
  ]);
  await outdated.quit();

  const library = join(folder, 'libgone.so.1');
  writeFileSync(source, 'void gone(void) {}');
  run('cc', ['-shared', '-fPIC', '-Wl,-soname,libgone.so.1', '-o', library, source]);
  writeFileSync(source, 'void gone(void); void *pb_module_exports(void) { gone(); return 0; }');
  run('cc', ['-shared', '-fPIC', '-o', module, source, library]);
  rmSync(library);
  const lacking = await startIn(t, place());
  await check(lacking, [
    {
      ...row,
      code: 'ENOENT',
      cause: /driver "xdp" cannot be loaded: libgone.so.1: cannot open shared object file/,
      remedy: /install libxdp1 \(apt-get install libxdp1\)$/,
    },
  ]);
  await lacking.quit();
});
