// Ports of the driver netmap, with the stand-in for /dev/netmap (support/netmap.ts) below the engines and below ordinary
// applications of netmap in processes of their own. What the stand-in cannot show, a real kernel and real cards, is no part of this.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { EngineStats } from '../../index.ts';
import '../../index.ts'; // builds the library, where that has to be done, before a process waits for it
import { type Packet, readCapture } from '../support/capture.ts';
import { checkCycles } from '../support/conformance/cycles.ts';
import { type EngineDescription, type EngineProcess, startEngines } from '../support/engine_process.ts';
import { watchLeaks } from '../support/leaks.ts';
import { captureOf, type LiveBed, makeFrames, makeLiveBed, replay } from '../support/live_bed.ts';
import { assertNoViolations, makeNetmapStandIn, type NetmapMachine, type NetmapStandIn } from '../support/netmap.ts';
import { connect, makeNamespace, skipLive } from '../support/netns.ts';
import { type Program, until } from '../support/programs.ts';

const skip = skipLive('tcpreplay');

interface Bed {
  readonly live: LiveBed;
  readonly netmap: NetmapStandIn;
  /** Starts engines with netmap below them and waits until they run. */
  engines(...descriptions: EngineDescription[]): Promise<EngineProcess>;
  /** Starts an application and waits until its ports are registered. */
  app(...args: string[]): Promise<Program>;
  /** The path of a capture of this name. */
  file(name: string): string;
}

function makeBed(t: TestContext, machine: NetmapMachine = {}): Bed {
  const live = makeLiveBed(t);
  const netmap = makeNetmapStandIn(t, machine);
  const as = ['env', ...Object.entries(netmap.env).map(([name, value]) => `${name}=${value}`)];
  return {
    live,
    netmap,
    engines: async (...descriptions) => {
      const place = { namespace: live.receiver, runtimeFolder: live.runtimeFolder, as };
      const engines = startEngines(t, place, descriptions);
      assert.equal(await engines.started(), undefined);
      return engines;
    },
    app: async (...args) => {
      const app = netmap.app(args, live.receiver.inside);
      await app.until(/ready/);
      return app;
    },
    file: (name) => join(live.folder, name),
  };
}

function engine(name: string, type: string, inputs: string[], outputs: string[], queueId?: number): EngineDescription {
  const brick = { type, inputs, outputs };
  return { name, links: [{ brick, ...(queueId === undefined ? {} : { queueId }) }] };
}

const port = (stats: EngineStats, name: string): EngineStats['ports'][number] => {
  const found = stats.ports.find((candidate) => candidate.name === name);
  assert.ok(found !== undefined, `port ${name} has counters`);
  return found;
};

const sent = (stats: EngineStats): number =>
  stats.ports.reduce((sum, { role, txPackets }) => sum + (role === 'output' ? txPackets : 0), 0);

/** Frames in any order, to compare. */
const contents = (packets: readonly Packet[]): string[] =>
  packets.map(({ data }) => createHash('sha256').update(data).digest('hex').slice(0, 16)).sort();

/** What an application has received, once it was told to end. */
async function received(app: Program, file: string): Promise<readonly Packet[]> {
  await app.interrupt();
  return readCapture(file).packets;
}

async function end(bed: Bed, engines: EngineProcess, ...names: string[]): Promise<EngineStats[]> {
  const all: EngineStats[] = [];
  for (const name of names) all.push(await engines.stop(name));
  await engines.quit();
  assertNoViolations(bed.netmap);
  return all;
}

/** A test that leaves nothing. */
function live(name: string, body: (t: TestContext) => Promise<void>): void {
  test(name, { skip }, async (t) => {
    const noLeaks = watchLeaks();
    await t.test('run', body);
    await noLeaks();
  });
}

live('an interface is balanced over its pipes without a copy, and every single packet is there at once', async (t) => {
  const bed = makeBed(t);
  const engines = await bed.engines(engine('e', 'LoadBalancer', ['netmap:in0'], ['in0{0', 'in0{1']));
  const files = [bed.file('0.pcap'), bed.file('1.pcap')];
  const apps = [await bed.app('rx', 'in0}0', files[0] ?? ''), await bed.app('rx', 'in0}1', files[1] ?? '')];
  const frames = makeFrames(500, 1000);
  // One packet at a time: what a pipe kept back would not come before the next.
  for (const part of [frames.slice(0, 1), frames.slice(1, 2), frames.slice(2)]) {
    const before = sent(await engines.stats('e'));
    replay(bed.live, [captureOf(bed.live, 'frames.pcap', part)]);
    const stats = await engines.statsUntil('e', 'every packet is sent', (now) => sent(now) === before + part.length);
    assert.equal(port(stats, 'in0{0').inFlight + port(stats, 'in0{1').inFlight, 0);
  }
  const got = await Promise.all(apps.map((app, i) => received(app, files[i] ?? '')));
  assert.deepEqual(contents(got.flat()), contents(frames));
  assert.ok(got.every((part) => part.length > 50));
  const [stats] = await end(bed, engines, 'e');
  assert.ok(stats !== undefined);
  assert.equal(stats.dropped, 0);
  assert.deepEqual(
    ['in0{0', 'in0{1'].map((name) => port(stats, name).others.swapped),
    got.map((part) => part.length),
  );
});

live('what two outputs see is copied, and both have all of it', async (t) => {
  const bed = makeBed(t);
  const engines = await bed.engines(engine('e', 'Duplicator', ['netmap:in0'], ['in0{0', 'in0{1']));
  const files = [bed.file('0.pcap'), bed.file('1.pcap')];
  const apps = [await bed.app('rx', 'in0}0', files[0] ?? ''), await bed.app('rx', 'in0}1', files[1] ?? '')];
  const frames = makeFrames(300, 1000);
  replay(bed.live, [captureOf(bed.live, 'frames.pcap', frames)]);
  await engines.statsUntil('e', 'every packet is sent', (stats) => sent(stats) === 600);
  for (const [i, app] of apps.entries()) {
    assert.deepEqual(contents(await received(app, files[i] ?? '')), contents(frames));
  }
  const [stats] = await end(bed, engines, 'e');
  assert.ok(stats !== undefined);
  assert.equal(port(stats, 'in0{0').others.swapped, 0);
});

live('two engines share an interface by queue ids, and each has pipes of its own', async (t) => {
  const bed = makeBed(t, { rings: 2 });
  const engines = await bed.engines(
    engine('e0', 'Dummy', ['netmap:in0'], ['in0{0'], 0),
    engine('e1', 'Dummy', ['netmap:in0?queue=1'], ['in0{1']),
  );
  const files = [bed.file('0.pcap'), bed.file('1.pcap')];
  const apps = [await bed.app('rx', 'in0}0', files[0] ?? ''), await bed.app('rx', 'in0}1', files[1] ?? '')];
  const frames = makeFrames(400, 1000);
  replay(bed.live, [captureOf(bed.live, 'frames.pcap', frames)]);
  await until('both engines have sent all', async () => {
    return sent(await engines.stats('e0')) + sent(await engines.stats('e1')) === frames.length;
  });
  const got = await Promise.all(apps.map((app, i) => received(app, files[i] ?? '')));
  assert.deepEqual(contents(got.flat()), contents(frames));
  // One stops and starts again; the other is not disturbed.
  await engines.stop('e0');
  replay(bed.live, [captureOf(bed.live, 'frames.pcap', frames)]);
  assert.equal(await engines.tell('start', 'e0'), undefined);
  await end(bed, engines, 'e0', 'e1');
});

live('a reader that is dead starves nobody: a burst to the others finds buffers', async (t) => {
  const bed = makeBed(t, { slots: 64 });
  const outputs = ['in0{0?extra_buffers=256', 'in0{1?extra_buffers=256'];
  const engines = await bed.engines(engine('e', 'Duplicator', ['netmap:in0'], outputs));
  const dead = await bed.app('rx', 'in0}0', bed.file('0.pcap'));
  dead.child.kill('SIGSTOP');
  const file = bed.file('1.pcap');
  const alive = await bed.app('rx', 'in0}1', file);
  const frames = makeFrames(2000, 1000);
  replay(bed.live, [captureOf(bed.live, 'frames.pcap', frames)], 20_000);
  const stats = await engines.statsUntil('e', 'the living has all', (now) => port(now, 'in0{1').txPackets === 2000);
  assert.deepEqual(contents(await received(alive, file)), contents(frames));
  assert.equal(port(stats, 'in0{0').inFlight + (port(stats, 'in0{0').drops.taken_back ?? 0) > 0, true);
  dead.child.kill('SIGCONT');
  // What waited for it reaches it now, in order.
  await engines.statsUntil('e', 'nothing waits any more', (now) => port(now, 'in0{0').inFlight === 0);
  const late = await received(dead, bed.file('0.pcap'));
  assert.ok(late.length > 256);
  const order = late.map(({ data }) => data.readUInt16BE(36)); // the destination port
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  await end(bed, engines, 'e');
});

live('pipes without an interface, VALE ports, and applications that send', async (t) => {
  const bed = makeBed(t);
  const engines = await bed.engines(
    engine('pipe', 'Dummy', ['netmap:app}0'], ['netmap:vale0:out']),
    engine('switch', 'Dummy', ['netmap:vale1:in'], ['netmap:app{1']),
  );
  // Fewer than a ring's slots: a switch drops what a slow reader has no room for.
  const frames = makeFrames(200, 1000);
  const input = captureOf(bed.live, 'frames.pcap', frames);
  const files = [bed.file('0.pcap'), bed.file('1.pcap')];
  const apps = [await bed.app('rx', 'vale0:reader', files[0] ?? ''), await bed.app('rx', 'app}1', files[1] ?? '')];
  await bed.app('tx', 'app{0', input);
  await bed.app('tx', 'vale1:writer', input);
  for (const name of ['pipe', 'switch']) {
    await engines.statsUntil(name, 'every packet is sent', (stats) => sent(stats) === frames.length);
  }
  for (const [i, app] of apps.entries()) {
    assert.deepEqual(contents(await received(app, files[i] ?? '')), contents(frames));
  }
  await end(bed, engines, 'pipe', 'switch');
});

live('two interfaces are bridged, each of them input and output of one engine', async (t) => {
  const bed = makeBed(t);
  const other = makeNamespace(t, 'far');
  connect(other, 'far0', bed.live.receiver, 'in1');
  const engines = await bed.engines({
    name: 'bridge',
    links: [
      { brick: { type: 'Dummy', inputs: ['netmap:in0'], outputs: ['netmap:in1'] } },
      { brick: { type: 'Dummy', inputs: ['netmap:in1'], outputs: ['netmap:in0'] } },
    ],
  });
  for (const namespace of [bed.live.sender, other]) {
    const [name, address] = namespace === other ? ['far0', '10.8.0.2'] : ['tx0', '10.8.0.1'];
    namespace.run('sh', '-c', `ip addr add ${address}/24 dev ${name}; ip link set ${name} arp on`);
  }
  bed.live.sender.run('ping', '-c', '5', '-i', '0.1', '-W', '5', '10.8.0.2');
  const [stats] = await end(bed, engines, 'bridge');
  assert.ok(stats !== undefined);
  assert.ok(stats.ports.every((each) => each.role === 'input' || (each.others.swapped ?? 0) >= 5));
});

live('an interface that goes down and comes up, and one that is removed', async (t) => {
  const bed = makeBed(t);
  const engines = await bed.engines(engine('e', 'Dummy', ['netmap:in0'], ['null:']));
  const frames = captureOf(bed.live, 'frames.pcap', makeFrames(50, 1000));
  const downs = (): number => engines.reports().filter((text) => text.includes('ip link set in0 up')).length;
  for (let times = 1; times <= 2; times++) {
    bed.live.receiver.run('ip', 'link', 'set', 'in0', 'down');
    await until('a report', () => downs() === times);
    bed.live.receiver.run('ip', 'link', 'set', 'in0', 'up');
    replay(bed.live, [frames]);
    await engines.statsUntil('e', 'traffic after that', (stats) => sent(stats) === 50 * times);
  }
  bed.live.receiver.run('ip', 'link', 'del', 'in0');
  await until('a report', () =>
    engines.reports().some((text) => /port "netmap:in0": the interface is gone/.test(text)),
  );
  await end(bed, engines, 'e');
});

live('a process killed with SIGKILL is no obstacle for the next', async (t) => {
  const bed = makeBed(t, { slots: 64, buffers: 2048 });
  const frames = captureOf(bed.live, 'frames.pcap', makeFrames(300, 1000));
  const description = engine('e', 'LoadBalancer', ['netmap:in0'], ['in0{0', 'in0{1']);
  for (let round = 0; round < 4; round++) {
    const engines = await bed.engines(description);
    replay(bed.live, [frames]);
    await engines.statsUntil('e', 'traffic', (stats) => port(stats, 'in0').rxPackets >= 300);
    if (round < 3) {
      engines.program.child.kill('SIGKILL');
      await engines.program.exited;
    } else {
      await end(bed, engines, 'e');
    }
  }
});

live('starting and stopping with pipes a hundred times leaves no descriptor, mapping or buffer behind', async (t) => {
  const bed = makeBed(t, { slots: 64 });
  const engines = await bed.engines();
  const description = engine('e', 'LoadBalancer', ['netmap:in0'], ['in0{0', 'in0{1', 'netmap:in0']);
  await checkCycles(engines, description, { engines: 10, starts: 10 });
  await end(bed, engines);
});

live('what the host needs is not taken from it without being told to', async (t) => {
  const bed = makeBed(t);
  const inside = bed.live.receiver;
  inside.run('sh', '-c', 'ip addr add 10.9.0.1/24 dev in0; ip route add default via 10.9.0.2');
  const as = ['env', ...Object.entries(bed.netmap.env).map(([name, value]) => `${name}=${value}`)];
  const place = { namespace: inside, runtimeFolder: bed.live.runtimeFolder, as };
  const refused = startEngines(t, place, [engine('e', 'Dummy', ['netmap:in0'], ['null:'])]);
  const failure = await refused.started();
  assert.match(
    failure?.error ?? '',
    /: netmap takes traffic from the host, and in0 carries this host's default route; use packet:in0, .* say \?force=1$/,
  );
  await refused.quit();
  const forced = await bed.engines(engine('e', 'Dummy', ['netmap:in0?force=1'], ['null:']));
  await end(bed, forced, 'e');
});

live('without the module the error says what to do', async (t) => {
  if (existsSync('/dev/netmap')) return t.skip('this machine has netmap');
  const bed = makeBed(t);
  const place = { namespace: bed.live.receiver, runtimeFolder: bed.live.runtimeFolder };
  const engines = startEngines(t, place, [engine('e', 'Dummy', ['netmap:in0'], ['null:'])]);
  assert.match(
    (await engines.started())?.error ?? '',
    /port "netmap:in0": cannot open for input: there is no \/dev\/netmap; load the netmap module \(modprobe/,
  );
  await engines.quit();
});
