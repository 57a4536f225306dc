// Programs of Debian, unmodified, under bricks-run at a live pipe. What each says of the stream is compared with what
// the same program, or tcpdump, says of the capture that feeds it.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openPipe } from '../../index.ts';
import { device, PipeBed, recentCapture, sortedLines } from '../support/bricks_run.ts';
import {
  assertSameFrames,
  assertSamePackets,
  type Packet,
  readCapture,
  timed,
  writeCapture,
} from '../support/capture.ts';
import { demoCapture } from '../support/files.ts';
import { readAnyCapture, readersOf } from '../support/live_bed.ts';
import { buildPacket, ethernet } from '../support/packets.ts';
import { run, skipWithout, until } from '../support/programs.ts';
import { runProgram } from '../support/readers.ts';

/** A test of one program. */
function testProgram(name: string, needs: readonly string[], body: (bed: PipeBed, t: TestContext) => Promise<void>) {
  test(name, { skip: skipWithout(...needs) }, (t) => body(new PipeBed(t), t));
}

testProgram('tcpdump prints what it prints of the capture', ['tcpdump'], async (bed) => {
  for (const options of [['tcp port 8080'], ['-e', '-vv', '-x'], ['--nano', '-tt'], ['-c', '17'], ['less 100']]) {
    const line = ['tcpdump', '-n', '-i', device, ...options];
    const live = await (options.includes('-c') ? bed.runAsLongAsItLikes(line) : bed.runToEnd(line));
    // It is interrupted, and so ends the line that it may be in.
    assert.equal(
      live.trimEnd(),
      bed.runAlone('tcpdump', '-n', '-r', demoCapture, ...options).trimEnd(),
      options.join(' '),
    );
    assert.ok(live.length > 100);
  }
});

testProgram('tcpdump gets as much of each packet as it asks for', ['tcpdump', 'editcap'], async (bed) => {
  const cut = bed.path('cut.pcap');
  run('editcap', ['-s', '60', '-F', 'nsecpcap', demoCapture, cut]);
  const live = await bed.runToEnd(['tcpdump', '-n', '-xx', '-s', '60', '-i', device]);
  assert.equal(live.trimEnd(), bed.runAlone('tcpdump', '-n', '-xx', '-r', cut).trimEnd());
});

testProgram('tcpdump writes what it reads, with microseconds and nanoseconds', ['tcpdump'], async (bed) => {
  for (const precision of ['micro', 'nano']) {
    const [live, alone] = [bed.path('live.pcap'), bed.path('alone.pcap')];
    await bed.runToEnd(['tcpdump', `--time-stamp-precision=${precision}`, '-i', device, '-w', live]);
    run('tcpdump', [`--time-stamp-precision=${precision}`, '-r', demoCapture, '-w', alone]);
    assert.deepEqual(readFileSync(live), readFileSync(alone));
  }
});

testProgram('tcpdump lists pipes, counts, and ends by Ctrl-C', ['tcpdump'], async (bed) => {
  bed.feed();
  const listed = run(runProgram, ['tcpdump', '-D']);
  assert.match(listed, /^\d+\.run\}0 \(packet-bricks pipe of engine test\d+\)/m);
  const program = bed.run(['tcpdump', '-n', '-i', device, '-w', bed.path('out.pcap')]);
  await bed.delivered();
  assert.deepEqual(await program.interrupt(), { code: 0, signal: null });
  assert.match(program.output(), /458 packets captured\n458 packets received by filter\n0 packets dropped by kernel/);
});

testProgram('tcpdump says in one line what is wrong', ['tcpdump'], async (bed) => {
  const failed = async (line: string[], text: RegExp) => {
    const program = bed.run(['tcpdump', ...line]);
    assert.equal((await program.ended()).code, 1);
    assert.match(program.output(), text);
  };
  await failed(['-i', 'none}3'], /tcpdump: none\}3: No such device exists\n\(pipe "none\}3": no engine serves it/);
  bed.feed();
  bed.run(['tcpdump', '-w', '/dev/null', '-i', device]);
  await bed.delivered();
  await failed(['-i', device], /process \d+ \(tcpdump\) reads it already/);
});

testProgram('--wait: a program may start before its engine; --reconnect: it outlives it', ['tcpdump'], async (bed) => {
  // -Z: a tcpdump that has become another user may not attach again.
  const program = bed.run([
    '--wait',
    '--reconnect',
    'tcpdump',
    '-Z',
    'root',
    '-U',
    '-w',
    bed.path('all.pcap'),
    '-i',
    device,
  ]);
  for (const round of [1, 2, 3]) {
    bed.feed();
    await bed.delivered();
    await until('the packets', () => readCapture(bed.path('all.pcap')).packets.length === 458 * round);
    bed.stop();
  }
  assert.deepEqual(await program.interrupt(), { code: 0, signal: null });
  const once = readCapture(demoCapture).packets;
  const expected = [...once, ...once, ...once].map((packet) => ({
    ...packet,
    timestampNs: (packet.timestampNs / 1000n) * 1000n,
  }));
  assertSamePackets(readCapture(bed.path('all.pcap')).packets, expected, 'three engines');
});

testProgram('raw IP: the link type is that of the packets', ['tcpdump'], async (bed) => {
  const raw = bed.path('raw.pcap');
  const packets = timed(
    [40, 41, 42].map((length) =>
      buildPacket(
        { source: '10.0.0.1', destination: '10.0.0.2', protocol: 'udp', sourcePort: 1, destinationPort: 53 },
        { payload: length },
      ).subarray(14),
    ),
  );
  writeCapture(raw, packets, { linkType: 101 });
  const writer = await bed.relay();
  writer.setLinkType(101);
  // By its first packet a pipe knows its link type, for which a program waits no longer than a moment.
  await writer.send(Buffer.alloc(60));
  const first = await openPipe(device);
  await first.next();
  first.close();
  await until('the first reader to be gone', () => readersOf(bed.stats()) === 0);
  const program = bed.run(['tcpdump', '-n', '-i', device, 'udp']);
  for (const { data, timestampNs } of packets) await writer.send(data, { timestampNs });
  await until('the packets to be sent', () => bed.stats().txPackets === 1 + packets.length);
  bed.stop();
  await program.ended();
  assert.match(program.output(), /link-type RAW/);
  assert.equal(program.stdout().trimEnd(), bed.runAlone('tcpdump', '-n', '-r', raw).trimEnd());
});

testProgram('tshark and dumpcap write every packet', ['tshark', 'dumpcap', 'editcap'], async (bed) => {
  const expected = readCapture(demoCapture).packets;
  for (const program of ['dumpcap', 'tshark']) {
    const file = bed.path(`${program}.pcapng`);
    bed.feed();
    const writer = bed.run([program, '-q', '-i', device, '-w', file]);
    await bed.delivered();
    bed.stop();
    assert.equal((await writer.ended()).code, 0, writer.output());
    const packets = readAnyCapture(file, bed.folder).map(({ timestampNs, ...rest }) => ({ ...rest, timestampNs }));
    // dumpcap asks for nanoseconds where it can have them.
    assertSamePackets(packets, expected, program);
  }
});

testProgram('tshark dissects as it does the capture', ['tshark'], async (bed) => {
  const fields = [
    '-n',
    '-T',
    'fields',
    '-e',
    'frame.number',
    '-e',
    'frame.time_epoch',
    '-e',
    '_ws.col.Protocol',
    '-e',
    'frame.len',
  ];
  const live = await bed.runToEnd(['tshark', '-i', device, '-c', '458', ...fields]);
  assert.equal(live, bed.runAlone('tshark', '-r', demoCapture, ...fields));
});

/** Sums of a flow tool's lines: packets and bytes for each connection, of each direction. */
function flowTotals(text: string): Record<string, number> {
  const totals: Record<string, number> = {};
  const pattern =
    /^EXPIRED: (?:seq:\d+ )?(\S+ <> \S+ proto:\d+) octets>:(\d+) packets>:(\d+) octets<:(\d+) packets<:(\d+)/gm;
  for (const [, flow = '', ...counts] of text.matchAll(pattern)) {
    counts.forEach((count, i) => {
      totals[`${flow} ${i}`] = (totals[`${flow} ${i}`] ?? 0) + Number(count);
    });
  }
  return totals;
}

testProgram('softflowd counts the same flows', ['softflowd', 'softflowctl'], async (bed) => {
  const [socket, pid] = [bed.path('ctl'), bed.path('pid')];
  bed.feed();
  const program = bed.run(['softflowd', '-D', '-i', device, '-p', pid, '-c', socket]);
  await bed.delivered();
  await until('its count', () =>
    /Packets processed: 458|packets.*: 458/i.test(run('softflowctl', ['-c', socket, 'statistics'])),
  );
  run('softflowctl', ['-c', socket, 'shutdown']);
  await program.ended();
  const alone = run('sh', ['-c', 'softflowd -D -r "$0" -c none -p "$1" 2>&1', demoCapture, pid]);
  assert.deepEqual(flowTotals(program.output()), flowTotals(alone));
  assert.ok(Object.keys(flowTotals(alone)).length > 100);
});

testProgram(
  'softflowd, as the daemon that it is, exports its flows when the stream ends',
  ['softflowd'],
  async (bed, t) => {
    const collector = createSocket('udp4');
    t.after(() => collector.close());
    let flows = 0;
    collector.on('message', (message) => {
      flows += message.readUInt16BE(2); // NetFlow version 5: records in this packet
    });
    await new Promise<void>((done) => collector.bind(0, '127.0.0.1', done));
    writeFileSync(bed.path('recent.pcap'), recentCapture());
    bed.feed(`pcap:${bed.path('recent.pcap')}`);
    const target = `127.0.0.1:${collector.address().port}`;
    const program = bed.run([
      'softflowd',
      '-v',
      '5',
      '-n',
      target,
      '-i',
      device,
      '-p',
      bed.path('pid'),
      '-c',
      bed.path('ctl'),
    ]);
    await bed.delivered();
    await program.ended();
    bed.stop();
    // Both directions of each IPv4 connection that it sees in the capture; of the others version 5 knows nothing.
    const alone = run('sh', ['-c', 'softflowd -D -r "$0" -c none -p "$1" 2>&1', demoCapture, bed.path('pid')]);
    const directions = Object.entries(flowTotals(alone)).filter(
      ([flow, count]) => /^\[[\d.]+\].* [13]$/.test(flow) && count > 0,
    );
    await until(`${directions.length} flows, of which ${flows} came`, () => flows === directions.length);
  },
);

testProgram('argus records every packet', ['argus', 'ra'], async (bed) => {
  const recent = bed.path('recent.pcap');
  writeFileSync(recent, recentCapture());
  bed.feed(`pcap:${recent}`);
  const program = bed.run(['argus', '-X', '-i', device, '-w', bed.path('live.argus')]);
  await bed.delivered();
  bed.stop();
  assert.equal((await program.ended()).code, 0, program.output());
  run('argus', ['-X', '-r', recent, '-w', bed.path('alone.argus')]);
  const totals = (file: string): string[] =>
    sortedLines(
      run('racluster', [
        '-nr',
        bed.path(file),
        '-m',
        'proto',
        '-c,',
        '-s',
        'proto',
        'pkts',
        'bytes',
        '-',
        'not',
        'man',
      ]),
    );
  assert.deepEqual(totals('live.argus'), totals('alone.argus'));
  assert.ok(totals('alone.argus').length > 3);
});

testProgram('p0f logs the same hosts', ['p0f'], async (bed) => {
  await bed.runToEnd(['p0f', '-i', device, '-o', bed.path('live.log')], 1); // it takes any end for a failure
  run('p0f', ['-r', demoCapture, '-o', bed.path('alone.log')]);
  const log = readFileSync(bed.path('live.log'), 'utf8');
  assert.equal(log, readFileSync(bed.path('alone.log'), 'utf8'));
  assert.ok(log.length > 1000);
});

testProgram('ngrep finds the same', ['ngrep'], async (bed) => {
  const packets = (text: string): string => text.slice(text.indexOf('\n\n'));
  const live = await bed.runToEnd(['ngrep', '-q', '-d', device, '.', 'udp']);
  assert.equal(packets(live), packets(bed.runAlone('ngrep', '-q', '-I', demoCapture, '.', 'udp')));
  assert.ok(live.length > 1000);
});

testProgram('tcpflow reassembles the same connections', ['tcpflow'], async (bed) => {
  await bed.runToEnd(['tcpflow', '-i', device, '-o', bed.path('live')]);
  run('tcpflow', ['-r', demoCapture, '-o', bed.path('alone')]);
  const flows = (folder: string): Record<string, string> =>
    Object.fromEntries(
      readdirSync(bed.path(folder))
        .filter((name) => name !== 'report.xml')
        .sort()
        .map((name) => [name, readFileSync(join(bed.path(folder), name), 'latin1')]),
    );
  assert.deepEqual(flows('live'), flows('alone'));
  assert.ok(Object.keys(flows('alone')).length > 20);
});

/** A query for example.org, and its answer. */
function dnsPackets(): Buffer[] {
  const question = Buffer.from('076578616d706c65036f72670000010001', 'hex');
  const query = Buffer.concat([Buffer.from('123401000001000000000000', 'hex'), question]);
  const answer = Buffer.concat([
    Buffer.from('123481800001000100000000', 'hex'),
    question,
    Buffer.from('c00c00010001000000ff0004c0000201', 'hex'),
  ]);
  const flow = {
    source: '10.0.0.1',
    destination: '10.0.0.53',
    protocol: 'udp',
    sourcePort: 4000,
    destinationPort: 53,
  } as const;
  const back = { ...flow, source: flow.destination, destination: flow.source, sourcePort: 53, destinationPort: 4000 };
  return [buildPacket(flow, { payload: query }), buildPacket(back, { payload: answer })];
}

testProgram('dnscap shows the same messages', ['dnscap'], async (bed) => {
  const dns = bed.path('dns.pcap');
  writeCapture(dns, timed(Array.from({ length: 50 }, dnsPackets).flat()));
  bed.feed(`pcap:${dns}`);
  const program = bed.run(['dnscap', '-i', device, '-g']);
  await bed.delivered();
  bed.stop();
  assert.equal((await program.ended()).code, 0, program.output());
  // Names of its sources differ.
  const messages = (text: string): string =>
    text.replace(/^(\[\d+\] \S+ \S+ )\[.*?\]/gm, '$1').replaceAll(/ \S+ \[/g, ' [');
  const alone = run('sh', ['-c', 'dnscap -r "$0" -g 2>&1', dns]);
  assert.equal(messages(program.output()), messages(alone));
  assert.equal(alone.match(/example\.org/g)?.length ?? 0, 150);
});

testProgram('pmacctd accounts for the same packets, with --copy', ['pmacctd'], async (bed) => {
  const recent = bed.path('recent.pcap');
  writeFileSync(recent, recentCapture());
  // Replayed at its own pace, behind a packet that is not IP: what comes while its plugin still starts, pmacctd may leave
  // there for good.
  const { packets } = readCapture(recent);
  const first = { ...packets[0], timestampNs: (packets[0]?.timestampNs ?? 0n) - 3_000_000_000n } as Packet;
  const other = { ...first, data: ethernet(0x88b5, Buffer.alloc(46)), wireLength: 60 };
  writeCapture(recent, [other, ...packets]);
  mkdirSync(bed.path('out'));
  const settings = (file: string): string => {
    const path = bed.path(`${file}.conf`);
    writeFileSync(
      path,
      `daemonize: false\nplugins: print\nprint_output: csv\nprint_refresh_time: 1\nprint_output_file_append: true
aggregate: src_host, dst_host, src_port, dst_port, proto\nprint_output_file: ${bed.path('out')}/${file}\n`,
    );
    return path;
  };
  const total = (file: string): number => {
    const lines = readdirSync(bed.path('out')).includes(file)
      ? readFileSync(join(bed.path('out'), file), 'utf8').split('\n')
      : [];
    return lines.reduce((sum, line) => sum + (Number(line.split(',')[5]) || 0), 0);
  };
  bed.feed(`pcap:${recent}?speed=1`);
  const program = bed.run(['--copy', 'pmacctd', '-i', device, '-f', settings('live')]);
  // Of the capture's 458 packets these are IP: tcpdump says how many.
  const expected = run('tcpdump', ['-nr', recent, 'ip or ip6']).trimEnd().split('\n').length;
  await until(
    `${expected} packets, of which ${total('live')} came: ${program.output()}`,
    () => total('live') === expected,
  );
  bed.stop();
  await program.ended();
});

testProgram('bittwist sends a capture into an engine', ['bittwist', 'tcpdump'], async (bed) => {
  const [micro, taken] = [bed.path('micro.pcap'), bed.path('taken.pcap')];
  run('tcpdump', ['-r', demoCapture, '-w', micro]); // it reads no nanoseconds
  bed.collect(taken);
  const sender = bed.run(['bittwist', '-m', '0', '-i', device, micro]);
  assert.equal((await sender.ended()).code, 0, sender.output());
  assert.match(sender.output(), /458 packets \(139863 bytes\) sent/);
  await until('the engine to have them', () => bed.received() === 458);
  bed.stop();
  assertSameFrames(readCapture(taken).packets, readCapture(demoCapture).packets, 'what was sent');
});

testProgram('tcpdump at a pipe that packets leave by sees none, and ends with the engine', ['tcpdump'], async (bed) => {
  bed.collect(bed.path('taken.pcap'));
  const program = bed.run(['tcpdump', '-n', '-i', device]);
  await program.until(/listening on run\}0/);
  bed.stop();
  assert.equal((await program.ended()).code, 0);
  assert.match(program.output(), /\n0 packets captured/);
});
