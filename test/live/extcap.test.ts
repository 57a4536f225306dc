// Pipes as interfaces of Wireshark: real tshark lists them through bricks-extcap, captures exactly what an engine sends,
// with and without capture filters, and ends when it should; what goes wrong is said on one line.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Brick } from '../../index.ts';
import { assertSamePackets, readCapture, timed, writeCapture } from '../support/capture.ts';
import { extcapProgram, TsharkUser } from '../support/extcap.ts';
import { demoCapture } from '../support/files.ts';
import { nodeArguments, type Program, run, skipWithout, until } from '../support/programs.ts';
import { pipeProgram } from '../support/readers.ts';
import { skipUnreadable } from '../support/users.ts';

const skip = skipWithout('tshark', 'editcap', 'tcpdump');
const isRoot = process.getuid?.() === 0;
const user = (t: TestContext): TsharkUser => new TsharkUser(t).install();
const success = { code: 0, signal: null };

/** Who reads `pipe`, as bricks-pipe --list has it; "-" for nobody. */
async function readerOf(wireshark: TsharkUser, pipe: string): Promise<string> {
  const row = (await wireshark.outputOf(pipeProgram, '--list')).split('\n').find((line) => line.startsWith(`${pipe} `));
  return row?.split(/ +/).slice(4, 6).join(' ') ?? assert.fail(`${pipe} is not listed`);
}

async function untilRead(wireshark: TsharkUser, pipe: string): Promise<void> {
  await until(`a reader of ${pipe}`, async () => (await readerOf(wireshark, pipe)).endsWith(' bricks-extcap'));
}

async function untilFree(wireshark: TsharkUser, pipe: string): Promise<void> {
  await until(`${pipe} to be free`, async () => (await readerOf(wireshark, pipe)).startsWith('- '));
}

test('tshark -D lists the pipes that are served, with their names and engines', { skip }, async (t) => {
  const wireshark = user(t);
  const engine = wireshark.send(demoCapture, 'eth3}0', 'a.b:1-c_}12');
  const listed = async (): Promise<string[]> =>
    [...(await wireshark.outputOf('tshark', '-D')).matchAll(/^\d+\. (bricks:.*)$/gm)].map(([, line = '']) => line);
  assert.deepEqual(await listed(), [
    `bricks:a.b:1-c_:12 (pipe a.b:1-c_}12 of engine ${engine.name})`,
    `bricks:eth3:0 (pipe eth3}0 of engine ${engine.name})`,
  ]);
  assert.match(await wireshark.outputOf('tshark', '-L', '-i', 'bricks:eth3:0'), /^ {2}EN10MB \(Ethernet\)$/m);
  engine.stop();
  assert.deepEqual(await listed(), []);
});

test('a pipe that applications write is no interface', async (t) => {
  const wireshark = user(t);
  const engine = wireshark.engine(new Brick('Dummy').connectInput('app}0').connectOutput('back{0'));
  const interfaces = await wireshark.outputOf(extcapProgram, '--extcap-interfaces');
  assert.deepEqual(interfaces.match(/\{value=.*?\}/g), ['{value=bricks:back:0}']);
  const listed = await wireshark.outputOf(pipeProgram, '--list');
  for (const [pipe, direction] of [
    ['app}0', 'in'],
    ['back}0', 'out'],
  ])
    assert.match(listed, new RegExp(`^${pipe} +${direction} +${engine.name} +${process.pid} - `, 'm'));
  const args = ['--capture', '--extcap-interface', 'bricks:app:0', '--fifo', wireshark.path('fifo')];
  const capture = wireshark.start(extcapProgram, ...args);
  assert.equal((await capture.ended()).code, 1);
  assert.match(capture.output(), /^bricks-extcap: pipe "app}0": [^\n]+\n$/);
});

test('tshark gets exactly what the engine sends, and ends with it', { skip }, async (t) => {
  for (const pipe of ['eth3}0', 'x:y}1']) {
    const wireshark = user(t);
    const engine = wireshark.send(demoCapture, pipe);
    const tshark = wireshark.tshark('-i', `bricks:${pipe.replace('}', ':')}`, '-w', wireshark.path('out.pcapng'));
    assert.equal(await engine.wait(30), true);
    engine.stop();
    assert.deepEqual(await tshark.ended(), success, tshark.output());
    assertSamePackets(wireshark.packets(wireshark.path('out.pcapng')), readCapture(demoCapture).packets, pipe);
  }
});

test('-c ends the capture and leaves the pipe to others', { skip }, async (t) => {
  const wireshark = user(t);
  wireshark.send(demoCapture, 'p}0');
  const fields = ['-T', 'fields', '-e', 'frame.number', '-e', 'frame.time_epoch', '-e', 'frame.len'];
  const tshark = wireshark.tshark('-i', 'bricks:p:0', '-c', '10', ...fields);
  assert.deepEqual(await tshark.ended(), success, tshark.output());
  assert.equal(tshark.stdout(), run('tshark', ['-n', '-r', demoCapture, '-c', '10', ...fields]));
  await untilFree(wireshark, 'p}0');
});

test('a capture filter selects what tcpdump selects', { skip }, async (t) => {
  for (const [i, filter] of ['tcp', 'ip6 and not tcp', 'vlan and icmp', 'greater 1000'].entries()) {
    const wireshark = user(t);
    const engine = wireshark.send(demoCapture, `f}${i}`);
    const tshark = wireshark.tshark('-i', `bricks:f:${i}`, '-f', filter, '-w', wireshark.path('out.pcapng'));
    assert.equal(await engine.wait(30), true);
    engine.stop();
    assert.deepEqual(await tshark.ended(), success, tshark.output());
    const expected = wireshark.selected(demoCapture, filter);
    assert.ok(expected.length < 458);
    assertSamePackets(wireshark.packets(wireshark.path('out.pcapng')), expected, filter);
  }
});

/** A capture of IPv4 packets without Ethernet headers; how many there are. */
function writeRawIp(file: string): number {
  const packets = readCapture(demoCapture).packets.filter(({ data }) => data.readUInt16BE(12) === 0x0800);
  writeCapture(file, timed(packets.map(({ data }) => data.subarray(14))), { linkType: 101 });
  return packets.length;
}

test('packets without Ethernet headers keep their link type, for filters too', { skip }, async (t) => {
  const wireshark = user(t);
  const raw = wireshark.path('raw.pcap');
  const count = writeRawIp(raw);
  const engine = wireshark.send(raw, 'raw}0');
  const tshark = wireshark.tshark('-i', 'bricks:raw:0', '-f', 'udp', '-w', wireshark.path('out.pcapng'));
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.deepEqual(await tshark.ended(), success, tshark.output());
  const expected = wireshark.selected(raw, 'udp');
  assert.ok(expected.length > 0 && expected.length < count);
  assertSamePackets(wireshark.packets(wireshark.path('out.pcapng')), expected, 'raw IP');
  assert.match(run('capinfos', ['-E', wireshark.path('out.pcapng')]), /Raw IP/);
});

test('a wrong filter is refused with the reason, and costs no packet', { skip }, async (t) => {
  const wireshark = user(t);
  const engine = wireshark.send(demoCapture, 'p}0');
  const tshark = wireshark.tshark('-i', 'bricks:p:0', '-f', 'tcp prot 80');
  assert.notEqual((await tshark.ended()).code, 0);
  assert.match(tshark.output(), /bricks-extcap: capture filter "tcp prot 80": .*syntax error/);
  const fields = ['-T', 'fields', '-e', 'frame.len'];
  const second = wireshark.tshark('-i', 'bricks:p:0', ...fields);
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.deepEqual(await second.ended(), success, second.output());
  assert.equal(second.stdout(), run('tshark', ['-n', '-r', demoCapture, ...fields]));
});

test('a filter alone is checked: what is wrong is on standard output', { skip }, async (t) => {
  const wireshark = user(t);
  const check = (filter: string): Promise<string> =>
    wireshark.outputOf(extcapProgram, '--extcap-interface', 'bricks:p:0', '--extcap-capture-filter', filter);
  for (const filter of ['', 'tcp port 80', 'ether host 02:00:00:00:00:01', 'wlan type mgt'])
    assert.equal(await check(filter), '', filter);
  assert.match(await check('host 1.2.3.4.5'), /^capture filter "host 1\.2\.3\.4\.5": [^\n]+\n$/);
});

const skipMounts = isRoot ? skipWithout('unshare', 'ldconfig') : 'needs root: a mount';

test('without libpcap a filter is refused, and the package named', { skip: skipMounts }, async (t) => {
  const wireshark = user(t);
  const library = /=> (\S*libpcap\.so\.0\.8)$/m.exec(run('ldconfig', ['-p']))?.[1] ?? assert.fail('no libpcap');
  const check = `mount --bind /dev/null ${library} && exec "$0" --extcap-interface bricks:p:0 --extcap-capture-filter tcp`;
  assert.match(
    await wireshark.outputOf('unshare', '-m', 'sh', '-c', check, extcapProgram),
    /^a capture filter needs libpcap, .*install the package libpcap0\.8, [^\n]*\n$/,
  );
});

/** A pipe to which nothing comes any more: its engine has read `capture` before the pipe has a reader, and waits for one of `other}0`. */
async function serveQuietPipe(wireshark: TsharkUser, capture: string): Promise<void> {
  const engine = wireshark.send(capture, 'quiet}0', 'other}0');
  await until('the engine to wait for a reader', () => engine.stats().inFlight > 0);
}

async function captureQuietPipe(t: TestContext, wireshark: TsharkUser = user(t)): Promise<[TsharkUser, Program]> {
  await serveQuietPipe(wireshark, demoCapture);
  const tshark = wireshark.tshark('-i', 'bricks:quiet:0', '-w', wireshark.path('out.pcapng'));
  await tshark.until(/Capture started/);
  await untilRead(wireshark, 'quiet}0');
  return [wireshark, tshark];
}

test('Ctrl-C ends a capture to which nothing has come, as an empty one', { skip }, async (t) => {
  const [wireshark, tshark] = await captureQuietPipe(t);
  assert.deepEqual(await tshark.interrupt(), success, tshark.output());
  assert.doesNotMatch(tshark.output(), /error/i);
  assert.deepEqual(wireshark.packets(wireshark.path('out.pcapng')), []);
  await untilFree(wireshark, 'quiet}0');
});

// Without tshark, which may end before it has read what a program of its says.
test('a capture that has begun as Ethernet does not go on as something else', {
  skip: skipWithout('mkfifo'),
}, async (t) => {
  const wireshark = user(t);
  const [raw, fifo, out] = [wireshark.path('raw.pcap'), wireshark.path('fifo'), wireshark.path('out.pcap')];
  writeRawIp(raw);
  await serveQuietPipe(wireshark, raw);
  run('mkfifo', [fifo]);
  const copy = wireshark.start('sh', '-c', 'exec cat "$0" >"$1"', fifo, out);
  const extcap = wireshark.start(extcapProgram, '--capture', '--extcap-interface', 'bricks:quiet:0', '--fifo', fifo);
  await until('the header of a capture', () => existsSync(out) && statSync(out).size === 24);
  await wireshark.outputOf('sh', '-c', '"$0" -q -c 1 "$1" >/dev/null', pipeProgram, 'other}0');
  assert.deepEqual(await extcap.ended(), { code: 1, signal: null });
  const problem = /^bricks-extcap: its packets have link type 101 and not 1, .*start the capture again\n$/;
  assert.match(extcap.output(), problem);
  assert.deepEqual([await copy.ended(), statSync(out).size], [success, 24], 'no packet');
});

test('a tshark that is killed leaves the pipe to others', { skip }, async (t) => {
  const [wireshark, tshark] = await captureQuietPipe(t);
  tshark.child.kill('SIGKILL');
  await tshark.exited;
  await untilFree(wireshark, 'quiet}0');
});

test('SIGTERM ends bricks-extcap with what it has read', { skip: skipWithout('mkfifo') }, async (t) => {
  const wireshark = user(t);
  const engine = wireshark.send(demoCapture, 'p}0');
  run('mkfifo', [wireshark.path('fifo')]);
  const copy = wireshark.start('sh', '-c', 'exec cat "$0" >"$1"', wireshark.path('fifo'), wireshark.path('out.pcap'));
  const args = ['--capture', '--extcap-interface', 'bricks:p:0', '--fifo', wireshark.path('fifo')];
  const extcap = wireshark.start(extcapProgram, ...args);
  assert.equal(await engine.wait(30), true);
  extcap.child.kill('SIGTERM');
  assert.deepEqual([await extcap.ended(), await copy.ended(), extcap.output()], [success, success, '']);
  const { packets } = readCapture(demoCapture);
  assertSamePackets(readCapture(wireshark.path('out.pcap')).packets, packets, 'until SIGTERM');
});

test('a busy pipe: tshark says who reads it', { skip }, async (t) => {
  const [wireshark, tshark] = await captureQuietPipe(t);
  const second = wireshark.tshark('-i', 'bricks:quiet:0');
  assert.notEqual((await second.ended()).code, 0);
  const [pid = ''] = (await readerOf(wireshark, 'quiet}0')).split(' ');
  assert.match(second.output(), new RegExp(`pipe "quiet}0": process ${pid} \\(bricks-extcap\\) reads it already`));
  assert.deepEqual(await tshark.interrupt(), success, tshark.output());
});

test('a pipe that is not there, a wrong interface, a wrong option: one line each', async (t) => {
  const wireshark = user(t);
  const capture = async (...args: readonly string[]): Promise<[number | null, string]> => {
    const program = wireshark.start(extcapProgram, '--capture', ...args);
    return [(await program.ended()).code, program.output()];
  };
  const fifo = ['--fifo', wireshark.path('fifo')];
  const expected: readonly [readonly string[], number, RegExp][] = [
    [['--extcap-interface', 'bricks:p:0', ...fifo], 1, /^bricks-extcap: pipe "p}0": no engine serves it [^\n]*\n$/],
    [['--extcap-interface', 'eth0', ...fifo], 2, /^bricks-extcap: no interface "eth0" here: [^\n]*\n$/],
    [['--extcap-interface', 'bricks:p', ...fifo], 2, /^bricks-extcap: no interface "bricks:p" here: [^\n]*\n$/],
    [['--extcap-interface', `bricks:${'p'.repeat(62)}:0`, ...fifo], 2, /^bricks-extcap: no interface "bricks:pp/],
    [['--extcap-interface', 'bricks:/:0', ...fifo], 1, /^bricks-extcap: "\/}0" is not a pipe's name: [^\n]*\n$/],
    [['--extcap-interface', 'bricks:p:0'], 2, /^bricks-extcap: --fifo is missing; [^\n]*\n$/],
    [fifo, 2, /^bricks-extcap: --extcap-interface is missing; [^\n]*\n$/],
    [['--extcap-interface', 'bricks:p:0', ...fifo, '--snaplen', '0'], 2, /^bricks-extcap: --snaplen takes [^\n]*\n$/],
  ];
  for (const [args, status, text] of expected) {
    const [code, output] = await capture(...args);
    assert.equal(code, status, args.join(' '));
    assert.match(output, text);
  }
});

test('the options of the interface: wait for the pipe, keep the front of packets', { skip }, async (t) => {
  const wireshark = user(t);
  run('mkfifo', [wireshark.path('fifo')]);
  const copy = wireshark.start('sh', '-c', 'exec cat "$0" >"$1"', wireshark.path('fifo'), wireshark.path('out.pcap'));
  const args = ['--extcap-interface', 'bricks:late:0', '--fifo', wireshark.path('fifo'), '--wait', '--snaplen', '60'];
  const extcap = wireshark.start(extcapProgram, '--capture', ...args);
  const engine = wireshark.send(demoCapture, 'late}0');
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.deepEqual([await extcap.ended(), await copy.ended(), extcap.output()], [success, success, '']);
  const cut = readCapture(demoCapture).packets.map((packet) => ({ ...packet, data: packet.data.subarray(0, 60) }));
  assertSamePackets(readCapture(wireshark.path('out.pcap')).packets, cut, '60 bytes of each');
});

test('tshark passes the options on', { skip }, async (t) => {
  const wireshark = user(t);
  const engine = wireshark.send(demoCapture, 'p}1');
  const option = ['-o', 'extcap.bricks_p_1.snaplen:100', '-o', 'extcap.bricks_p_1.wait:true'];
  const tshark = wireshark.tshark(...option, '-i', 'bricks:p:1', '-T', 'fields', '-e', 'frame.cap_len');
  assert.equal(await engine.wait(30), true);
  engine.stop();
  assert.deepEqual(await tshark.ended(), success, tshark.output());
  const lengths = readCapture(demoCapture).packets.map(({ data }) => Math.min(data.length, 100));
  assert.deepEqual(tshark.stdout().trim().split('\n').map(Number), lengths);
});

test('an engine that does not answer does not hold up the list of the others', { skip }, async (t) => {
  const wireshark = user(t);
  const script = wireshark.path('stopped.lua');
  const count = 20;
  const outputs = Array.from({ length: count }, (_, i) => `"stopped{${i}"`).join(', ');
  writeFileSync(
    script,
    `pe = PktEngine.new("stopped") pe:link(Brick.new("LoadBalancer"):connect_input("null:"):connect_output(${outputs}))
     pe:start() print("up")`,
  );
  const other = wireshark.start('node', ...nodeArguments('shell/bricks.ts'), '-f', script);
  await other.until(/up/);
  const engine = wireshark.send(demoCapture, 'p}0');
  other.child.kill('SIGSTOP');
  const tasks = `/proc/${other.child.pid}/task`;
  const isStopped = (task: string): boolean => / T /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8'));
  await until('all its threads to stop', () => readdirSync(tasks).every(isStopped));
  const lines = (await wireshark.outputOf(extcapProgram, '--extcap-interfaces')).trim().split('\n');
  assert.deepEqual(lines.slice(1), [
    `interface {value=bricks:p:0}{display=pipe p}0 of engine ${engine.name}}`,
    ...Array.from(
      { length: count },
      (_, i) => `interface {value=bricks:stopped:${i}}{display=pipe stopped}${i} (does not answer)}`,
    ),
  ]);
  const listed = await wireshark.outputOf(pipeProgram, '--list');
  assert.match(listed, new RegExp(`^p}0 +out ${engine.name} +${process.pid} - `, 'm'));
  assert.match(listed, /^bricks-pipe: pipe "stopped}0": its engine does not answer$/m);
});

const skipUsers = skip || (isRoot ? skipWithout('setpriv') || skipUnreadable() : 'needs root: another user');

test('another user sees that there are pipes, and why they are not for him', { skip: skipUsers }, async (t) => {
  const wireshark = user(t);
  chmodSync(wireshark.folder, 0o777); // his home as well
  const as = ['setpriv', '--reuid=64003', '--regid=64003', '--clear-groups'] as const;
  const source = new Brick('Duplicator').connectInput(`pcap:${demoCapture}`);
  const engine = wireshark.engine(source.connectOutput('p{0', 'everybody{0?wait=1&mode=0666'));
  assert.match(await wireshark.outputOf(...as, 'tshark', '-D'), /^\d+\. bricks:p:0 \(pipe p}0 \(no permission\)\)$/m);
  const tshark = wireshark.start(...as, 'tshark', '-n', '-i', 'bricks:p:0');
  assert.notEqual((await tshark.ended()).code, 0);
  assert.match(tshark.output(), /bricks-extcap: pipe "p}0": no permission for .*p}0\.sock; become the user/);
  const allowed = wireshark.start(
    ...as,
    'tshark',
    '-n',
    '-i',
    'bricks:everybody:0',
    '-w',
    wireshark.path('out.pcapng'),
  );
  assert.equal(await engine.wait(30), true, allowed.output());
  engine.stop();
  assert.deepEqual(await allowed.ended(), success, allowed.output());
  assertSamePackets(wireshark.packets(wireshark.path('out.pcapng')), readCapture(demoCapture).packets, 'mode=0666');
});
