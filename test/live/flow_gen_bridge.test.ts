// FlowGen before a switch, the kernel's own bridge: each flow arrives at the worker that announced its address, and at no
// other; at all of them while nobody has; and at another one as soon as that announces it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Packet, readCapture, timed } from '../support/capture.ts';
import { startEngines } from '../support/engine_process.ts';
import { flowHash, flowMac, generatorMac } from '../support/flow_macs.ts';
import { captureOf, engineInterface, type LiveBed, makeLiveBed, replay } from '../support/live_bed.ts';
import { connect, makeNamespace, type Namespace, skipLive } from '../support/netns.ts';
import { buildPacket, type Flow } from '../support/packets.ts';
import { commandOf, type Program, start, until } from '../support/programs.ts';

const generatorId = 0x1234;
const workerCount = 3;
const packetsOfFlow = 4;

const flow = (i: number): Flow => ({
  source: `10.0.0.${i + 1}`,
  destination: i % 2 === 0 ? '192.0.2.1' : '198.51.100.7',
  protocol: 'udp',
  sourcePort: 5000 + i,
  destinationPort: 53,
});
const flows = Array.from({ length: 12 }, (_, i) => flow(i));

/** How flows are told apart at the workers: by their addresses, whatever the order. */
const macText = (of: Flow): string => flowMac(flowHash(of)).toString('hex');

/** EtherFlows' acknowledgement: from the flow's address, to its FlowGen, so that switches learn where the flow belongs. */
function announcement(of: Flow): Buffer {
  return Buffer.concat([generatorMac(generatorId), flowMac(flowHash(of)), Buffer.from('0900454e544563073d02', 'hex')]);
}

interface Worker {
  readonly namespace: Namespace;
  readonly interface: string;
}

/** A bridge with the port of the FlowGen and one for each worker. */
function makeSwitch(t: TestContext, bed: LiveBed): Worker[] {
  const bridge = makeNamespace(t, 'switch');
  bridge.run('ip', 'link', 'add', 'br0', 'type', 'bridge', 'stp_state', '0', 'mcast_snooping', '0');
  bridge.run('ip', 'link', 'set', 'br0', 'up');
  connect(bed.receiver, 'out0', bridge, 'uplink');
  bridge.run('ip', 'link', 'set', 'uplink', 'master', 'br0');
  return Array.from({ length: workerCount }, (_, i) => {
    const namespace = makeNamespace(t, `worker${i}`);
    connect(namespace, 'eth0', bridge, `port${i}`);
    bridge.run('ip', 'link', 'set', `port${i}`, 'master', 'br0');
    return { namespace, interface: 'eth0' };
  });
}

/** Makes a worker announce flows, by a program that sends frames. */
function announce(bed: LiveBed, worker: Worker, name: string, own: readonly Flow[]): void {
  const file = captureOf(bed, `${name}.pcap`, timed(own.map(announcement)));
  worker.namespace.run('tcpreplay', '-q', '--topspeed', '-i', worker.interface, file);
}

/** A tcpdump at each worker, that captures what comes of FlowGens, as EtherFlows' worker filters it. */
async function listen(t: TestContext, bed: LiveBed, workers: readonly Worker[], phase: string) {
  const filter = '(ether[6:4] & 0xffffff00 = 0xbada5500)';
  const captures: { file: string; program: Program }[] = [];
  for (const [i, worker] of workers.entries()) {
    const file = join(bed.folder, `${phase}-${i}.pcap`);
    // Short slots, so that its ring holds every packet, however late it is scheduled.
    const options = ['-U', '--immediate-mode', '-s', '200', '-Q', 'in', '-w', file, '-i', worker.interface, filter];
    const { command, args } = worker.namespace.inside('tcpdump', '-Z', 'root', ...options);
    const program = start(t, command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    await program.until(/listening on/);
    captures.push({ file, program });
  }
  return captures;
}

const destination = ({ data }: Packet): string => data.subarray(0, 6).toString('hex');

/**
 * Sends packets of every flow through the FlowGen; returns what each worker got: how many packets of each flow.
 *
 * Behind them comes a flow that nobody has announced, which the bridge thus delivers to every worker: what was before it
 * has arrived.
 */
async function deliver(t: TestContext, bed: LiveBed, workers: readonly Worker[], phase: number) {
  const captures = await listen(t, bed, workers, `phase${phase}`);
  const last = { ...flow(0), source: `10.9.9.${phase}` };
  const sent = Array.from({ length: packetsOfFlow }, () => flows.map((one) => buildPacket(one))).flat();
  replay(bed, [captureOf(bed, `sent${phase}.pcap`, timed([...sent, buildPacket(last)]))]);
  return Promise.all(
    captures.map(async ({ file, program }) => {
      // Written whole records at a time, but for the last that is being written.
      await until(`the last flow in ${file}`, () => {
        try {
          return readCapture(file).packets.some((packet) => destination(packet) === macText(last));
        } catch {
          return false;
        }
      });
      await program.interrupt();
      const { packets } = readCapture(file);
      assert.ok(packets.every(({ data }) => data.subarray(6, 12).equals(generatorMac(generatorId))));
      const counts = flows.map((one) => packets.filter((packet) => destination(packet) === macText(one)).length);
      assert.equal(
        packets.length,
        counts.reduce((sum, count) => sum + count, 1),
      );
      return counts;
    }),
  );
}

/** What a worker is to get: every packet of the flows that are its own. */
const share = (isOwn: (flow: number) => boolean): number[] => flows.map((_, i) => (isOwn(i) ? packetsOfFlow : 0));

/** What sends flows into the switch: an engine of this API, or the script for users. */
const generators: Readonly<Record<string, (t: TestContext, bed: LiveBed) => Promise<() => Promise<void>>>> = {
  'an engine': async (t, bed) => {
    const place = { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder };
    const brick = { type: 'FlowGen', argument: generatorId, inputs: [engineInterface], outputs: ['out0'] };
    const engines = startEngines(t, place, [{ name: 'flows', links: [{ brick }] }]);
    assert.equal(await engines.started(), undefined);
    return async () => {
      const stats = await engines.stop('flows');
      assert.equal(stats.dropped, 0);
      assert.equal(stats.txPackets, 3 * (flows.length * packetsOfFlow + 1));
      await engines.quit();
    };
  },
  'scripts/startup-flowgen.lua': async (t, bed) => {
    const line = commandOf('bricks', ['-f', 'scripts/startup-flowgen.lua']);
    const { command, args } = bed.receiver.inside(...line);
    const own = { BRICKS_IFACE: engineInterface, BRICKS_SWITCH: 'out0', BRICKS_FLOWGEN_ID: '0x1234' };
    const env = { ...process.env, ...own, BRICKS_RUNTIME_DIR: bed.runtimeFolder };
    const bricks = start(t, command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    await bricks.until(/Flowgen id: 4660\n(?:.*\n)*Engine e0 reads in0 and sends flows to out0/);
    return async () => {
      assert.equal((await bricks.interrupt()).code, 0, bricks.output());
    };
  },
};

for (const [name, startGenerator] of Object.entries(generators)) {
  test(`a switch delivers each flow to the worker that announced it: ${name}`, {
    skip: skipLive('tcpdump', 'tcpreplay'),
  }, async (t) => {
    assert.equal(new Set(flows.map(macText)).size, flows.length);
    const bed = makeLiveBed(t);
    const workers = makeSwitch(t, bed);
    const stopGenerator = await startGenerator(t, bed);

    const everything = share(() => true);
    assert.deepEqual(await deliver(t, bed, workers, 1), [everything, everything, everything], 'unknown: flooded');

    workers.forEach((worker, i) => {
      announce(
        bed,
        worker,
        `own${i}`,
        flows.filter((_, f) => f % workerCount === i),
      );
    });
    const shares = workers.map((_, i) => share((f) => f % workerCount === i));
    assert.deepEqual(await deliver(t, bed, workers, 2), shares, 'announced flows go to their workers alone');

    // The first worker leaves: the second takes over what was its own.
    const [, second] = workers;
    assert.ok(second !== undefined);
    announce(
      bed,
      second,
      'taken',
      flows.filter((_, f) => f % workerCount === 0),
    );
    const taken = [share(() => false), share((f) => f % workerCount < 2), share((f) => f % workerCount === 2)];
    assert.deepEqual(await deliver(t, bed, workers, 3), taken, 'flows follow the worker that takes them over');
    await stopGenerator();
  });
}
