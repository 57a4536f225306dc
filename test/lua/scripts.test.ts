// The scripts for users, and scripts that users of packet-bricks have: they run as they are.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { beforeEach, test } from 'node:test';
import { PktEngine } from '../../engine/pkt_engine.ts';
import { makeBricksInterpreter } from '../../lua/bricks_interpreter.ts';
import { demoCapture } from '../support/files.ts';
import { runLua, startLua } from '../support/lua_run.ts';
import { projectFolder } from '../support/programs.ts';

process.chdir(projectFolder);

beforeEach(() => {
  for (const engine of PktEngine.all()) {
    if (engine.isRunning) engine.stop();
    engine.delete();
  }
});

/** Calls of a set-up, with how many outputs and internal edges its plan has. */
const singleThreaded: [string, number, number][] = [
  ['lb_config(pe, "eth3", "eth2")', 5, 0],
  ['simple_lbconfig(pe, "eth3")', 4, 0],
  ['lbconfig(pe, "eth3", 20)', 20, 0],
  ['dup_config(pe, "eth3")', 4, 0],
  ['dupconfig(pe, "eth3", 3)', 3, 0],
  ['duplb_config(pe, "eth3")', 3, 1],
  ['lbmrg_config(pe, "eth3")', 1, 2],
  ['lbmrgpcap_config(pe, "eth3")', 1, 3],
  ['mrg_config(pe, "eth3", "eth2")', 4, 1],
  ['lbfilt_config(pe, "eth3", "tcp port 80")', 3, 1],
  ['pcapr_config(pe, "eth3")', 1, 0],
  ['pcapw_config(pe, "eth3")', 4, 2],
  ['dummy_config(pe, "eth3")', 1, 0],
  ['flowgen_config(pe, "eth3", "eth2", 0x1234)', 1, 0],
];

for (const [call, outputs, edges] of singleThreaded) {
  test(`single-threaded set-up ${call} is a valid graph`, async () => {
    await runLua(
      `dofile("scripts/utils.lua") dofile("scripts/configs/single-threaded-setups.lua")
       pe = PktEngine.new("e0", BUFFER_SZ, NO_CPU_AFF) assert(sampleSetup:${call} == pe)`,
      makeBricksInterpreter(),
    );
    const { plan } = PktEngine.retrieve('e0');
    assert.deepEqual([plan?.outputs.length, plan?.edges.length, plan?.batchPackets], [outputs, edges, 256]);
  });
}

for (const method of ['lb_config', 'pcapw_config']) {
  test(`multi-threaded set-up ${method} is a valid graph on four engines of one interface`, async () => {
    await runLua(
      `dofile("scripts/utils.lua") dofile("scripts/configs/multi-threaded-setups.lua")
       for i = 0, 3 do sampleSetup:${method}(PktEngine.new("e" .. i, BUFFER_SZ), "eth3", i) end`,
      makeBricksInterpreter(),
    );
    assert.deepEqual(
      PktEngine.all().map((engine) => engine.plan?.inputs.map((input) => input.queueId)),
      [[0], [1], [2], [3]],
    );
  });
}

test('utils.lua answers and defines what scripts expect', async () => {
  const text = await runLua(
    `dofile("scripts/utils.lua")
     print(STATS_PRINT_CYCLE_DEFAULT, SLEEP_TIMEOUT, PKT_BATCH, NETMAP_PIPES, NO_CPU_AFF, NO_QIDS, BUFFER_SZ)
     print(utilObj:netmap_loaded(), utilObj:shell("echo hello"), utilObj:directory_exists("/"), utilObj:directory_exists("/no'ne"))
     utilObj:enable_nmpipes() utilObj:sleep(0.01) print(type(utilObj:check_superuser()))`,
    makeBricksInterpreter(),
  );
  assert.equal(text, '20\t2\t1024\t64\t-1\t-1\t1024\ntrue\thello\n\ttrue\tfalse\nboolean\n');
});

test('netmap counts as missing where interfaces would be opened by it and its module is not loaded', async () => {
  const text = await runLua(
    `dofile("scripts/utils.lua")
     print(BRICKS.get_driver(), utilObj:netmap_loaded())
     BRICKS.set_driver("netmap")
     print(BRICKS.get_driver(), utilObj:netmap_loaded())
     BRICKS.set_driver("packet")`,
    makeBricksInterpreter(),
  );
  assert.equal(text, `packet\ttrue\nnetmap\t${existsSync('/sys/module/netmap')}\n`);
});

// As people have them: a busy wait on os.clock, statistics in rounds, functions init, start and stop. The rounds of a test are
// short: so that all is counted in them, it waits until the capture is read.
const userScript = `#!/usr/local/bin/bricks-server -f
utilObj = dofile 'scripts/utils.lua'
PCAPDIR="${demoCapture}"
sampleSetup = dofile("scripts/configs/single-threaded-setups.lua")
STATS_PRINT_CYCLE = 2
SLEEP_TIMEOUT = 0.02
function utilObj:sleep(n)
  local t0 = os.clock()
  while os.clock() - t0 <= n do end
end
function init()
  if utilObj:netmap_loaded() == false then
    print 'Netmap module does not exist'
    os.exit(-1)
  end
  utilObj:enable_nmpipes()
  local pe = PktEngine.new("e0", BUFFER_SZ, NO_CPU_AFF)
  local b = Brick.new("PcapReader")
  b:connect_input("${demoCapture}", "eth3")
  b:connect_output("null:", "null:")
  pe:link(b, PKT_BATCH, NO_QIDS)
end
function start()
  local pe = PktEngine.retrieve("e0")
  pe:start()
  pe:wait()
  local i = 0
  repeat
    utilObj:sleep(SLEEP_TIMEOUT)
    BRICKS.show_stats()
    i = i + 1
  until i > STATS_PRINT_CYCLE
end
function stop()
  local pe = PktEngine.retrieve("e0")
  pe.show_stats()
  pe:stop()
  pe:delete()
end
init()
start()
stop()
os.exit(-1)
`;

test("a user's script in the layout of packet-bricks runs unchanged", async () => {
  const run = startLua(userScript, makeBricksInterpreter());
  assert.deepEqual(await run.outcome, { kind: 'exit', status: 255 });
  assert.equal(run.text().match(/ENGINE STATISTICS/g)?.length, 3);
  assert.match(run.text(), /Packet count: 458\n/);
});
