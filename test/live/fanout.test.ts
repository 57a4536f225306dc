// Several engines on one interface, each with a queue id: every packet exactly once, each connection at one engine.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  assertSameFrames,
  assertSubsequence,
  frameText,
  readCapture,
  timed,
  writeCapture,
} from '../support/capture.ts';
import { assertAffinity, connectionsOf } from '../support/connections.ts';
import { startEngines } from '../support/engine_process.ts';
import { demoCapture } from '../support/files.ts';
import { engineInterface, type LiveBed, makeLiveBed, replay } from '../support/live_bed.ts';
import { skipLive } from '../support/netns.ts';
import { buildPacket, type Flow, reverse } from '../support/packets.ts';
import { until } from '../support/programs.ts';

const skip = skipLive('tcpreplay', 'tshark');

/** Two engines with queue ids on one interface, each writing what it gets to a capture. */
async function startPair(t: TestContext, bed: LiveBed) {
  const outputs = [0, 1].map((i) => join(bed.folder, `engine${i}.pcap`));
  const place = { namespace: bed.receiver, runtimeFolder: bed.runtimeFolder };
  const engines = startEngines(
    t,
    place,
    outputs.map((output, i) => ({
      name: `e${i}`,
      links: [{ brick: { type: 'Dummy', inputs: [engineInterface], outputs: [`pcap:${output}`] }, queueId: i }],
    })),
  );
  assert.equal(await engines.started(), undefined);
  return { outputs, engines };
}

test('two engines share an interface: each packet once, both directions of a connection at one of them', {
  skip,
}, async (t) => {
  const bed = makeLiveBed(t);
  const built = join(bed.folder, 'built.pcap');
  const frames = Array.from({ length: 200 }, (_, i): Flow => {
    const isV6 = i % 2 === 1;
    return {
      source: isV6 ? `fd00:1::${(i + 1).toString(16)}` : `10.0.0.${i + 1}`,
      destination: isV6 ? `fd00:2::${(i + 1).toString(16)}` : `10.1.0.${i + 1}`,
      protocol: i % 3 === 0 ? 'udp' : 'tcp',
      sourcePort: 1024 + i,
      destinationPort: 443,
    };
  }).flatMap((flow, i) => {
    const vlans = i % 5 === 0 ? [{ id: 100 }] : [];
    return [flow, reverse(flow), flow].map((direction, n) => buildPacket(direction, { vlans, payload: 20 + n }));
  });
  writeCapture(built, timed(frames));
  const { outputs, engines } = await startPair(t, bed);
  const files = [built, demoCapture];
  replay(bed, files);
  const sent = files.flatMap((file) => [...readCapture(file).packets]);
  await until('every packet at one engine or the other', async () => {
    const received = [await engines.stats('e0'), await engines.stats('e1')].map(({ rxPackets }) => rxPackets);
    return received.reduce((sum, count) => sum + count, 0) >= sent.length;
  });
  const stats = [await engines.stop('e0'), await engines.stop('e1')];
  const got = outputs.map((output) => readCapture(output).packets);
  assertSameFrames(got.flat(), sent, 'both engines together');
  got.forEach((packets, i) => {
    assertSubsequence(packets, sent, `engine ${i} keeps the order`, frameText);
    assert.ok(packets.length > 0, `engine ${i} has a share`);
    assert.equal(stats[i]?.lost, 0);
  });
  for (const file of files) assertAffinity(readCapture(file).packets, connectionsOf(file), got, file, frameText);
  await engines.quit();
});

test('an engine that leaves the group: the other gets all', { skip }, async (t) => {
  const bed = makeLiveBed(t);
  const { outputs, engines } = await startPair(t, bed);
  await engines.stop('e0');
  const { packets } = readCapture(demoCapture);
  replay(bed, [demoCapture]);
  await engines.statsUntil('e1', 'every packet', (stats) => stats.rxPackets >= packets.length);
  await engines.stop('e1');
  assertSameFrames(readCapture(outputs[1] ?? '').packets, packets, 'the engine that stayed');
  await engines.quit();
});
