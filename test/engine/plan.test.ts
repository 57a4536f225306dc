// Validation of graphs: what is refused, with which code; what is planned.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abi } from '../../engine/abi.ts';
import { drivers } from '../../engine/drivers.ts';
import type { ErrorCode } from '../../engine/errors.ts';
import { type DriverInfo, type Plan, type PlanContext, planGraph } from '../../engine/plan.ts';
import { Brick, BricksError } from '../../index.ts';

const context = { engine: 'e0', drivers, defaultDriver: 'packet' };

/** Drivers that the rules on pipes of interfaces, queues and devices are tried with. */
const fastDrivers: readonly DriverInfo[] = [
  ...drivers.filter(({ name }) => !['netmap', 'xdp', 'dpdk'].includes(name)),
  { name: 'netmap', names: 'interface', pipes: true },
  { name: 'xdp', names: 'interface', pipes: false },
  { name: 'dpdk', names: 'device', pipes: false },
].map((driver) => ({
  text: 'a driver of this test',
  input: true,
  output: true,
  options: {
    queue: { type: 'integer', default: -1, min: -1, max: 255, text: 'the receive queue' },
    id: { type: 'integer', default: 0, min: 0, max: 255, text: 'of those that share a name' },
  },
  ...driver,
})) as readonly DriverInfo[];

/** The plan of bricks with queue ids, over {@link fastDrivers}. */
function planFast(
  links: readonly (readonly [brick: Brick, queueId?: number | undefined])[],
  changes: Partial<PlanContext> = {},
): Plan {
  return planGraph(
    links.map(([brick, queueId]) => ({ brick, batchPackets: undefined, queueId })),
    { ...context, drivers: fastDrivers, ...changes },
  );
}

function plan(...bricks: readonly Brick[]): Plan {
  return planGraph(
    bricks.map((brick) => ({ brick, batchPackets: undefined, queueId: undefined })),
    context,
  );
}

/** The graph is refused with this code, in one line that matches. */
function refused(code: ErrorCode, pattern: RegExp, make: () => Brick | readonly Brick[]): void {
  assert.throws(
    () => {
      const made = make();
      plan(...(made instanceof Brick ? [made] : made));
    },
    (error: unknown) => {
      assert.ok(error instanceof BricksError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, pattern);
      assert.doesNotMatch(error.message, /\n|\{[a-z]+\}|undefined/, 'one line, every placeholder filled');
      return true;
    },
  );
}

const brick = (type: string, inputs: readonly string[], outputs: readonly string[]): Brick =>
  new Brick(type).connectInput(...inputs).connectOutput(...outputs);

test('interface → LoadBalancer → four pipes', () => {
  const planned = plan(new Brick('LoadBalancer').connectInput('eth0').connectOutputs('eth0', 4));
  assert.deepEqual(planned.inputs, [
    {
      text: 'eth0',
      driver: 'packet',
      names: 'interface',
      name: 'eth0',
      options: '',
      brick: 0,
      queueId: undefined,
    },
  ]);
  assert.deepEqual(
    planned.outputs.map(({ driver, name, output }) => [driver, name, output]),
    [0, 1, 2, 3].map((i) => ['pipe', `eth0}${i}`, i]),
  );
  assert.deepEqual(planned.edges, []);
});

test('a name used as an output and as an input of a linked brick is an edge: no pipe is made', () => {
  const child = brick('Merge', ['a}1', 'a}0'], ['null:']);
  const planned = plan(brick('LoadBalancer', ['eth0'], ['a{0', 'a{1', 'a{2']).link(child));
  assert.deepEqual(
    [...planned.edges].sort((a, b) => a.output - b.output),
    [
      { from: 0, output: 0, to: 1 },
      { from: 0, output: 1, to: 1 },
    ],
  );
  assert.deepEqual(
    planned.outputs.map(({ name }) => name),
    ['a}2', ''],
  );
  assert.equal(planned.inputs.length, 1);
});

test('depth counts the balancers above, whatever stands between', () => {
  const leaf = brick('LoadBalancer', ['c}0'], ['null:']);
  const dummy = brick('Dummy', ['b}0'], ['c{0']).link(leaf);
  const middle = brick('LoadBalancer', ['a}0'], ['b{0']).link(dummy);
  const planned = plan(brick('LoadBalancer', ['eth0'], ['a{0']).link(middle));
  assert.deepEqual(
    planned.bricks.map(({ node, depth }) => [node.descriptor.name, depth]),
    [
      ['LoadBalancer', 0],
      ['LoadBalancer', 1],
      ['Dummy', 2],
      ['LoadBalancer', 2],
    ],
  );
});

test('bricks linked one by one make the same edges as bricks linked below one another', () => {
  const planned = plan(brick('Merge', ['a}0'], ['null:']), brick('LoadBalancer', ['eth0'], ['a{0', 'null:']));
  assert.equal(planned.edges.length, 1);
  assert.equal(planned.inputs.length, 1);
});

test('cycles', () => {
  refused('GRAPH_CYCLE', /Merge.*Merge/, () => brick('Merge', ['a}0'], ['a{0']));
  refused('GRAPH_CYCLE', />/, () => {
    const other = brick('Dummy', ['a}0'], ['b{0']);
    return brick('Merge', ['eth0', 'b}0'], ['a{0']).link(other);
  });
  refused('GRAPH_CYCLE', /Dummy > Merge > Dummy|Merge > Dummy > Merge/, () => {
    const one = brick('Dummy', ['eth0'], ['a{0']);
    return one.link(brick('Merge', ['a}0'], ['null:']).link(one));
  });
  const self = brick('Dummy', ['eth0'], ['null:']);
  refused('GRAPH_CYCLE', /Dummy > Dummy/, () => self.link(self));
});

test('outputs and inputs used twice', () => {
  refused('OUTPUT_TWICE', /"a\{0"/, () => brick('LoadBalancer', ['eth0'], ['a{0', 'a{0']));
  refused('OUTPUT_TWICE', /"a\{0"/, () => [brick('Dummy', ['eth0'], ['a{0']), brick('Dummy', ['eth1'], ['a{0'])]);
  refused('OUTPUT_TWICE', /"a\{00"/, () => brick('LoadBalancer', ['eth0'], ['a{0', 'a{00']));
  refused('OUTPUT_TWICE', /x\.pcap/, () => brick('LoadBalancer', ['eth0'], ['pcap:/tmp/x.pcap', 'pcap:/tmp/x.pcap']));
  refused('OUTPUT_TWICE', /x\.pcap/, () => [
    brick('PcapWriter', ['eth0'], ['/tmp/x.pcap']),
    brick('Dummy', ['eth1'], ['pcap:/tmp/x.pcap']),
  ]);
  refused('OUTPUT_TWICE', /eth7/, () => brick('LoadBalancer', ['eth0'], ['packet:eth7', 'eth7']));
  refused('INPUT_TWICE', /"eth0"/, () => brick('Merge', ['eth0', 'eth0'], ['null:']));
  refused('INPUT_TWICE', /eth0/, () => brick('Merge', ['eth0', 'packet:eth0'], ['null:']));
  refused('INPUT_TWICE', /eth0/, () => [brick('Dummy', ['eth0'], ['null:']), brick('Dummy', ['eth0'], ['null:'])]);
  refused('INPUT_TWICE', /"a\}0"/, () =>
    brick('LoadBalancer', ['eth0'], ['a{0']).link(
      brick('Dummy', ['a}0'], ['null:']),
      brick('Dummy', ['a}0'], ['null:']),
    ),
  );
});

test('several sinks null: and several generators null: are no clash', () => {
  assert.equal(plan(brick('LoadBalancer', ['eth0'], ['null:', 'null:'])).outputs.length, 2);
  assert.equal(plan(brick('Merge', ['null:', 'null:'], ['null:'])).inputs.length, 2);
});

test('the wrong brace', () => {
  refused('PIPE_END', /"eth0\}0".*"eth0\{0"/, () => brick('Dummy', ['eth0'], ['eth0}0']));
  refused('PIPE_END', /"eth0\{0".*"eth0\}0"/, () => brick('Dummy', ['eth0{0'], ['null:']));
});

test('an input pipe of a name that no output has is one that an application writes', () => {
  const { inputs, edges } = plan(brick('Merge', ['app}0?slots=64', 'pipe:app}1', 'inject:app}2'], ['eth0{0']));
  assert.deepEqual(
    inputs.map(({ driver, name, options }) => [driver, name, options]),
    [
      ['inject', 'app}0', 'slots=64'],
      ['inject', 'app}1', ''],
      ['inject', 'app}2', ''],
    ],
  );
  assert.deepEqual(edges, []);
});

test('an input pipe that nobody feeds, although others of its name are outputs', () => {
  refused('PIPE_INPUT', /"a\}1"/, () =>
    brick('LoadBalancer', ['eth0'], ['a{0']).link(brick('Dummy', ['a}1'], ['null:'])),
  );
});

test('too few and too many ports', () => {
  refused('BRICK_PORTS', /0 inputs/, () => brick('LoadBalancer', [], ['null:']));
  refused('BRICK_PORTS', /0 outputs/, () => brick('LoadBalancer', ['eth0'], []));
  refused('BRICK_PORTS', /2 outputs/, () => brick('Merge', ['eth0'], ['null:', 'null:']));
  refused('BRICK_PORTS', /2 outputs/, () => brick('PcapWriter', ['eth0'], ['a.pcap', 'b.pcap']));
  refused('BRICK_PORTS', /3 inputs/, () => brick('PcapReader', ['a.pcap', 'eth0', 'eth1'], ['null:']));
  refused('BRICK_PORTS', /1025 outputs/, () =>
    brick(
      'LoadBalancer',
      ['eth0'],
      Array.from({ length: 1025 }, () => 'null:'),
    ),
  );
  assert.equal(
    plan(
      brick(
        'LoadBalancer',
        ['eth0'],
        Array.from({ length: 1024 }, () => 'null:'),
      ),
    ).outputs.length,
    1024,
  );
});

test('limits: at the limit it works, one above it is refused with the limit in the text', () => {
  const pipes = (count: number): Brick[] => {
    const bricks: Brick[] = [];
    for (let i = 0; i * 512 < count; i++) {
      bricks.push(
        new Brick('LoadBalancer').connectInput(`eth${i}`).connectOutputs(`p${i}`, Math.min(512, count - i * 512)),
      );
    }
    return bricks;
  };
  assert.equal(plan(...pipes(abi.pipesMax)).outputs.length, abi.pipesMax);
  refused('LIMIT_EXCEEDED', /pipes.*1025.*1024/, () => pipes(abi.pipesMax + 1));
  const dummies = (count: number): Brick[] =>
    Array.from({ length: count }, (_, i) => brick('Dummy', [`eth${i}`], ['null:']));
  assert.equal(plan(...dummies(abi.bricksMax)).bricks.length, abi.bricksMax);
  refused('LIMIT_EXCEEDED', /bricks.*257.*256/, () => dummies(abi.bricksMax + 1));
  const ports = (count: number): Brick =>
    brick(
      'Merge',
      Array.from({ length: count - 1 }, (_, i) => `e${i}`),
      ['null:'],
    );
  assert.equal(plan(ports(abi.portsMax)).inputs.length, abi.portsMax - 1);
  refused('LIMIT_EXCEEDED', /ports.*2049.*2048/, () => ports(abi.portsMax + 1));
  const name = 'n'.repeat(abi.pipeNameMax - 2);
  assert.equal(plan(brick('Dummy', ['eth0'], [`${name}{0`])).outputs[0]?.name, `${name}}0`);
  refused('LIMIT_EXCEEDED', /64.*63/, () => brick('Dummy', ['eth0'], [`${name}n{0`]));
  refused('LIMIT_EXCEEDED', /4095/, () => brick('PcapReader', ['x'.repeat(4096)], ['null:']));
  for (const count of [0, -1, 1.5, 1025, Number.NaN])
    refused('LIMIT_EXCEEDED', /1 to 1024/, () => new Brick('LoadBalancer').connectOutputs('a', count));
});

test('unknown names', () => {
  refused('BRICK_UNKNOWN', /"LoadBalancre".*LoadBalancer/, () => new Brick('LoadBalancre'));
  refused('BRICK_UNKNOWN', /"__proto__"/, () => new Brick('__proto__'));
  refused('OPTION_UNKNOWN', /"tupel".*tuple/, () => new Brick('LoadBalancer', { tupel: 4 }));
  refused('OPTION_INVALID', /is 3; it must be 2 or 4/, () => new Brick('LoadBalancer', 3));
  refused('OPTION_INVALID', /2 or 4/, () => new Brick('LoadBalancer', 'four'));
  refused('ARGUMENT_INVALID', /"Merge".*no argument/, () => new Brick('Merge', 4));
  refused('DRIVER_UNKNOWN', /"foo:eth0".*"foo"/, () => brick('Dummy', ['foo:eth0'], ['null:']));
  refused('OPTION_UNKNOWN', /"packet:eth0\?ring=1".*ring_mb/, () => brick('Dummy', ['packet:eth0?ring=1'], ['null:']));
  refused('OPTION_INVALID', /ring_mb.*1 to 1024/, () => brick('Dummy', ['packet:eth0?ring_mb=0'], ['null:']));
  refused('OPTION_INVALID', /wait/, () => brick('Dummy', ['eth0'], ['a{0?wait=maybe']));
  refused('PORT_NAME_INVALID', /""/, () => brick('Dummy', [''], ['null:']));
  refused('PORT_NAME_INVALID', /pipe/, () => brick('Dummy', ['eth0'], ['pipe:a']));
  refused('PORT_NAME_INVALID', /packet:/, () => brick('Dummy', ['packet:'], ['null:']));
});

test('a driver that cannot face that way', () => {
  refused('DRIVER_DIRECTION', /"pipe:a".*input/, () => brick('Dummy', ['pipe:a'], ['null:']));
});

test('interface options on a pipe, and a brace behind another driver', () => {
  refused('OPTION_UNKNOWN', /ring_mb/, () => brick('Dummy', ['eth0'], ['a{0?ring_mb=4']));
  refused('PORT_NAME_INVALID', /"tap:a\{0".*"tap" has no pipes/, () => brick('Dummy', ['eth0'], ['tap:a{0']));
});

test("a PcapReader's second input only lends its name", () => {
  const planned = plan(brick('PcapReader', ['/tmp/x.pcap', 'eth0'], ['eth0{0']));
  assert.deepEqual(
    planned.inputs.map(({ driver, name }) => [driver, name]),
    [['pcap', '/tmp/x.pcap']],
  );
});

test('describing looks at nothing: the plan of what does not exist is made all the same', () => {
  plan(brick('LoadBalancer', ['no-such-interface'], ['pcap:/no/such/folder/x.pcap']));
});

/** Ports of a plan, as the data plane is told. */
const opened = (ports: Plan['inputs'] | Plan['outputs']): string[] =>
  ports.map(({ driver, name }) => `${driver}:${name}`);

test('beside an input whose driver has pipes, outputs of its name are those', () => {
  const balancer = (input: string, ...outputs: readonly string[]): Brick => brick('LoadBalancer', [input], outputs);
  for (const [input, changes] of [
    ['netmap:eth3', {}],
    ['eth3', { defaultDriver: 'netmap' }],
  ] as const) {
    const outputs = ['eth3{0', 'eth3{007', 'pipe:eth3{8', 'other{0', 'netmap:other{1'];
    assert.deepEqual(opened(planFast([[balancer(input, ...outputs)]], changes).outputs), [
      'netmap:eth3{0',
      'netmap:eth3{7',
      'pipe:eth3}8',
      'pipe:other}0',
      'netmap:other{1',
    ]);
  }
  assert.deepEqual(opened(planFast([[balancer('xdp:eth3', 'eth3{0')]]).outputs), ['pipe:eth3}0']);
  assert.deepEqual(opened(planFast([[balancer('netmap:vale0:a', 'netmap:vale0:a{0')]]).outputs), ['netmap:vale0:a{0']);
});

test('the pipes of a driver take its options, not those of pipes', () => {
  const withOptions = (options: string): (() => Plan) => {
    return () => planFast([[brick('Dummy', ['netmap:eth3'], [`eth3{0?${options}`])]]);
  };
  assert.throws(withOptions('slots=64'), { code: 'OPTION_UNKNOWN' });
  assert.equal(withOptions('queue=1')().outputs[0]?.options, 'queue=1');
});

test("either end of a driver's pipe is an input or an output, where it is said", () => {
  for (const end of ['{', '}']) {
    const { inputs, outputs } = planFast([[brick('Dummy', [`netmap:a${end}0`], [`netmap:b${end}1`])]]);
    assert.deepEqual([...opened(inputs), ...opened(outputs)], [`netmap:a${end}0`, `netmap:b${end}1`]);
  }
});

test('an output that a linked brick reads is an edge, whatever the driver of the input has', () => {
  const child = brick('Dummy', ['eth3}1'], ['null:']);
  const planned = planFast([[brick('Duplicator', ['netmap:eth3'], ['eth3{0', 'eth3{1']).link(child)]]);
  assert.deepEqual(planned.edges, [{ from: 0, output: 1, to: 1 }]);
  assert.deepEqual(opened(planned.outputs), ['netmap:eth3{0', 'null:']);
});

test('an interface is read twice in one engine through two queues, by the option or by the link', () => {
  const reader = (input: string): Brick => brick('Dummy', [input], ['null:']);
  const queues = (...links: readonly (readonly [string, number?])[]): unknown =>
    planFast(links.map(([input, queue]) => [reader(input), queue])).inputs.map(({ queueId }) => queueId);
  assert.deepEqual(queues(['xdp:eth3?queue=0'], ['xdp:eth3?queue=1']), [0, 1]);
  assert.deepEqual(queues(['xdp:eth3', 4], ['xdp:eth3', 5]), [4, 5]);
  assert.deepEqual(queues(['xdp:eth3', 4], ['xdp:eth3?queue=5', 4]), [4, 5], 'the option goes before the link');
  assert.deepEqual(queues(['xdp:eth3?queue=-1', 4]), [4]);
  assert.deepEqual(queues(['dpdk:net_null0', 0], ['dpdk:net_null0', 1]), [0, 1]);
  for (const clash of [
    [['xdp:eth3?queue=1'], ['xdp:eth3?queue=1']],
    [['xdp:eth3?queue=1'], ['xdp:eth3']],
    [['xdp:eth3?queue=1'], ['xdp:eth3', 1]],
    [['xdp:eth3'], ['xdp:eth3', 1]],
    [['dpdk:net_null0'], ['dpdk:net_null0']],
  ] as const) {
    assert.throws(() => queues(...clash), { code: 'INPUT_TWICE' }, JSON.stringify(clash));
  }
});

test('ports that share a name are told apart by their ids', () => {
  const name = 'dpdk:/run/x.sock';
  const links = [0, 1].map((id) => [brick('Dummy', [`${name}?id=${id}`], [`${name}?id=${id + 2}`])] as const);
  assert.deepEqual(opened(planFast(links).outputs), [name, name]);
  const reader = (input: string) => [brick('Dummy', [input], ['null:'])] as const;
  assert.throws(() => planFast([reader(name), reader(`${name}?id=0`)]), { code: 'INPUT_TWICE' });
  const outputs = brick('LoadBalancer', ['null:'], [`${name}?id=1`, `${name}?queue=1&id=1`]);
  assert.throws(() => planFast([[outputs]]), { code: 'OUTPUT_TWICE' });
});

test('a queue id means nothing to files and pipes: they are read once', () => {
  for (const input of ['pcap:/tmp/x.pcap', 'app}0']) {
    const links = [0, 1].map((queue) => [brick('Dummy', [input], ['null:']), queue] as const);
    assert.throws(() => planFast(links), { code: 'INPUT_TWICE' }, input);
    assert.equal(planFast(links.slice(0, 1)).inputs[0]?.queueId, undefined);
  }
});
