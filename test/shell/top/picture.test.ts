// Trees of real graphs, the screen of 80x24 and larger ones, many engines, hostile names, keys, and --once.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { EngineSnapshot } from '../../../engine/snapshot.ts';
import { Brick } from '../../../index.ts';
import { asciiGlyphs, unicodeGlyphs } from '../../../shell/top/glyphs.ts';
import { graphRows } from '../../../shell/top/graph_text.ts';
import { advance, type Model } from '../../../shell/top/model.ts';
import { onceText } from '../../../shell/top/once.ts';
import { drawPicture, type Picture } from '../../../shell/top/picture.ts';
import { lineText, lineWidth } from '../../../shell/top/text.ts';
import { initialView, pressKey, type View } from '../../../shell/top/view.ts';
import { demoCapture, makeFolder } from '../../support/files.ts';
import { daemonSnapshot, renamed, snapshotsOf, withPorts } from './support.ts';

const root = { after: (done: () => void) => process.on('exit', done) };
before(() => {
  process.env.BRICKS_RUNTIME_DIR = makeFolder(root);
});

/** Two snapshots a second apart: in between everything came that was counted. */
function modelOf(engines: readonly EngineSnapshot[], applications: Readonly<Record<string, string>> = {}): Model {
  const none = engines.map((engine) => ({ ...engine, stats: { ...engine.stats, ports: [], bricks: [] } }));
  return advance(advance(undefined, daemonSnapshot(1000, none)), daemonSnapshot(2000, engines, { applications }));
}

function running(engine: EngineSnapshot): EngineSnapshot {
  return { ...engine, stats: { ...engine.stats, state: 'running' } };
}

/** The tree's names with what is drawn in front of them. */
function treeOf(engine: EngineSnapshot): string[] {
  const [view] = modelOf([engine]).engines;
  assert.ok(view);
  const context = { glyphs: unicodeGlyphs, applications: {}, barColumns: 5 };
  return graphRows(view, context).map(({ lead, name }) => lead + name.text);
}

const input = `pcap:${demoCapture}`;

test('several inputs stand above the brick they feed, outputs below it', async () => {
  const merge = new Brick('Merge').connectInput(input, 'null:?packets=3').connectOutput('a{0');
  const { before, after } = await snapshotsOf([merge]);
  const tree = [` ┌← ${input}`, ' ├← null:', ' Merge', ' └→ a}0'];
  assert.deepEqual(treeOf(after), tree);
  assert.deepEqual(treeOf(before), tree, 'also before it is started');
});

test('a brick with one feed stands in its place, one with several stands below them all', async () => {
  const duplicator = new Brick('Duplicator').connectInput(input).connectOutput('d{0', 'd{1', 'd{4');
  const balancer = new Brick('LoadBalancer').connectInput('d}1').connectOutput('d{2', 'd{3', 'null:');
  const merge = new Brick('Merge').connectInput('d}2', 'd}3', 'd}4', 'null:?packets=5').connectOutput('m{0');
  duplicator.link(balancer, merge);
  balancer.link(merge);
  const { after } = await snapshotsOf([duplicator]);
  assert.deepEqual(treeOf(after), [
    ` ┌← ${input}`,
    ' Duplicator',
    ' ├→ d}0',
    ' ├─ LoadBalancer',
    ' │  ├→ Merge #1',
    ' │  ├→ Merge #1',
    ' │  └→ null:',
    ' └→ Merge #1',
    ' ┌← null:',
    ' Merge #1',
    ' └→ m}0',
  ]);
  const [view] = modelOf([after]).engines;
  assert.ok(view);
  const rows = graphRows(view, { glyphs: unicodeGlyphs, applications: {}, barColumns: 5 });
  const merged = rows.filter(({ name }) => name.text === 'Merge #1').map(({ flow }) => flow?.packets ?? 0);
  const [first = 0, second = 0, third = 0, all] = merged;
  assert.equal(first + second + third + 5, all, 'edges have the packets that went over them');
});

test('several bricks linked to one engine are several trees', async () => {
  const bricks = [0, 1].map((i) => new Brick('Dummy').connectInput(`null:?packets=${i + 1}`).connectOutput(`s{${i}`));
  const { after } = await snapshotsOf(bricks);
  assert.deepEqual(treeOf(after), [' ┌← null:', ' Dummy', ' └→ s}0', ' ┌← null:', ' Dummy', ' └→ s}1']);
});

/** An engine that balances over four pipes: one read and filling, one read, one without a reader. */
async function balanced(name = 'e0'): Promise<EngineSnapshot> {
  const balancer = new Brick('LoadBalancer').connectInput(input).connectOutput('b{0', 'b{1', 'b{2', 'b{3');
  const { after } = await snapshotsOf([balancer], { name });
  return running(
    withPorts(after, (port, i) => {
      if (port.role === 'input') return { lost: { kernel_drops: 12 } };
      if (i === 4) return {};
      const used_bytes = i === 1 ? (port.others.ring_bytes ?? 0) * 0.95 : 0;
      return {
        txPackets: port.drops.no_reader ?? 0,
        drops: { pipe_full: i === 1 ? 90_100 : 0 },
        others: { ...port.others, reader_pid: 1000 + i, used_bytes },
      };
    }),
  );
}

function draw(
  model: Model | undefined,
  changes: Partial<View> = {},
  size = { columns: 80, lines: 24 },
  lost?: string,
): Picture {
  return drawPicture({ model, view: { ...initialView(1000), ...changes }, lost, ...size, glyphs: unicodeGlyphs });
}

function textOf(picture: Picture): string {
  return picture.lines.map((line) => lineText(line).trimEnd()).join('\n');
}

test('80x24: 24 lines of 80 columns with everything that matters', async () => {
  const picture = draw(modelOf([await balanced()], { 1001: 'zeek', 1002: 'suricata', 1003: 'tcpdump' }));
  assert.equal(picture.lines.length, 24);
  for (const line of picture.lines) assert.equal(lineWidth(line), 80);
  const text = textOf(picture);
  assert.match(text, /^packet-bricks 0\.1\.0 {2}daemon 4711 {2}up 0:00:02 {2}1 client {2}every 1 s$/m);
  assert.match(text, /^e0 running +458 pps +1.12 Mbit\/s +458 {2}sent \d+ pps/m);
  assert.match(text, /pipe_full 90\.1 kpps \(90100\)/);
  assert.match(text, /kernel_drops 12 pps \(12\)/);
  assert.match(text, /├→ b\}0 .*████░ +95 % {2}zeek\[1001\]/);
  assert.match(text, /└→ b\}3 .*░░░░░ +0 % {2}no reader\n +no_reader \d+ pps/);
  assert.match(text, /received █ +lost █/);
});

test('a pipe that an application writes stands above its brick, with its fill and its writer', async () => {
  const bricks = [
    new Brick('Dummy').connectInput(input).connectOutput('null:'),
    new Brick('Merge').connectInput('w}0', 'w}1').connectOutput('null:'),
  ];
  const { after } = await snapshotsOf(bricks);
  const written = withPorts(running(after), ({ name, others }) => {
    const used_bytes = (others.ring_bytes ?? 0) * 0.4;
    const seen = { used_bytes, used_bytes_max: used_bytes, writer_pid: 77, declined: 9 };
    return name === 'w}0' ? { rxPackets: 5, others: { ...others, ...seen } } : {};
  });
  const text = textOf(draw(modelOf([written], { 77: 'inline' })));
  assert.match(text, /┌← w\}0 +5 pps .* 5 {2}██░░░ +40 % {2}inline\[77\]\n │ +declined 9\n/);
  assert.match(text, /├← w\}1 .*░░░░░ +0 % {2}no writer\n/);
  assert.doesNotMatch(text, /used_bytes_max|writer_pid/);
});

test('losses that go on are red, those of the past yellow; nothing depends on colours alone', async () => {
  const engine = await balanced();
  const styles = (model: Model): string[] =>
    draw(model).lines.flatMap((line) =>
      line.filter(({ text }) => /pipe_full/.test(text)).map(({ text, style }) => `${style}: ${text}`),
    );
  const now = modelOf([engine]);
  assert.deepEqual([...new Set(styles(now))], ['bad: pipe_full 90.1 kpps (90100)']);
  const later = advance(now, daemonSnapshot(3000, [engine]));
  assert.deepEqual([...new Set(styles(later))], ['warn: pipe_full (90100)']);
});

test('screens of every size are filled exactly', async () => {
  const model = modelOf([await balanced()]);
  for (const columns of [1, 5, 20, 40, 79, 100, 250]) {
    for (const lines of [1, 2, 3, 4, 10, 60]) {
      for (const changes of [{}, { isHelp: true }, { isAlone: true, selected: 'e0' }, { hasGraphs: false }]) {
        const picture = draw(model, changes, { columns, lines });
        assert.equal(picture.lines.length, lines);
        for (const line of picture.lines) assert.equal(lineWidth(line), columns);
      }
    }
  }
});

test('paused, lost, without engines, before the first snapshot', async () => {
  const model = modelOf([await balanced()]);
  assert.match(textOf(draw(model, { isPaused: true })), /^packet-bricks.* PAUSED$/m);
  assert.match(textOf(draw(model, {}, { columns: 40, lines: 24 }, 'gone')), /^ +connection lost, waiting$/m);
  assert.match(textOf(draw(modelOf([]))), /The daemon has no engines/);
  assert.match(textOf(draw(undefined)), /waiting for the first counters/);
  assert.match(textOf(draw(undefined, {}, { columns: 80, lines: 24 }, 'the daemon ended')), /the daemon ended/);
});

test('256 engines with 1024 pipes: sorted, selected, scrolled', async () => {
  const one = await balanced();
  const model = modelOf(Array.from({ length: 256 }, (_, i) => renamed(one, `e${i}`)));
  let view = initialView(1000);
  let picture = draw(model);
  const press = (...keys: readonly string[]): void => {
    for (const key of keys) {
      const next = pressKey(view, key, picture);
      assert.ok(next);
      view = next;
      picture = draw(model, view);
      view = { ...view, offset: picture.offset };
    }
  };
  assert.deepEqual(picture.names.slice(0, 3), ['e0', 'e1', 'e2'], 'numbers in names count as numbers');
  press(...Array<string>(200).fill('down'));
  const chosen = picture.lines.flat().filter(({ style }) => style === 'chosen');
  assert.match(chosen.map(({ text }) => text).join(''), /^e200 running/);
  press('end');
  assert.match(textOf(picture), /^e255 running/m);
  press('pageup', 'pageup');
  assert.doesNotMatch(textOf(picture), /^e255 running/m);
  press('home');
  assert.match(textOf(picture), /^e0 running/m);
  press('g');
  assert.equal(picture.lines.filter((line) => /^e\d+ running/.test(lineText(line))).length, 7);
  press('down', 'enter');
  assert.match(textOf(picture), /^e1 running[\s\S]*└→ b\}3/m);
  press('down', 'left');
  assert.equal(view.selected, 'e1', 'what is alone scrolls, and is still selected behind it');
});

test('engines are sorted by what they receive, lose, or have in their fullest pipe', async () => {
  const one = await balanced();
  const idle = withPorts(one, () => ({ rxPackets: 0, drops: {}, lost: {} }));
  const empty = withPorts(one, (port) => ({
    others: { ...port.others, used_bytes: 0 },
    rxPackets: 1,
    drops: {},
    lost: {},
  }));
  const model = modelOf([renamed(idle, 'a'), renamed(empty, 'b'), renamed(one, 'c')]);
  assert.deepEqual(draw(model).names, ['a', 'b', 'c']);
  assert.deepEqual(draw(model, { sort: 'received' }).names, ['c', 'b', 'a']);
  assert.deepEqual(draw(model, { sort: 'lost' }).names, ['c', 'a', 'b']);
  assert.deepEqual(draw(model, { sort: 'fill' }).names, ['a', 'c', 'b']);
});

test('an engine that goes while it is shown alone, or selected, leaves a picture', async () => {
  const one = await balanced();
  const model = modelOf([renamed(one, 'e1')]);
  assert.match(textOf(draw(model, { selected: 'e0', isAlone: true })), /^e1 running/m);
  assert.equal(draw(modelOf([]), { selected: 'e0', isAlone: true }).lines.length, 24);
});

test('keys: interval within its limits, help over everything, unknown keys nothing', () => {
  const context = { names: ['e0'], pageLines: 20 };
  const pressed = (view: View, ...keys: readonly string[]): View | undefined =>
    keys.reduce<View | undefined>((now, key) => now && pressKey(now, key, context), view);
  const view = initialView(1000);
  assert.equal(pressed(view, ...Array<string>(9).fill('+'))?.intervalMs, 10_000);
  assert.equal(pressed(view, ...Array<string>(9).fill('-'))?.intervalMs, 200);
  assert.equal(pressed(initialView(700), '+')?.intervalMs, 1000, 'from an interval of its own to the next');
  assert.equal(pressed(view, 'f5'), view);
  assert.equal(pressed(view, 'h', 'down')?.isHelp, false);
  assert.equal(pressed(view, 'h', 'q'), undefined);
  assert.equal(pressed(view, 'C-c'), undefined);
  assert.equal(pressed(view, 'p', 'space')?.isPaused, false);
});

test('hostile names of engines, files and readers move nothing', async () => {
  const one = await balanced();
  const hostile = '\u001b[2J\u001b]0;x\u0007{bold}\u202e捕获\r\n';
  const graph = { ...one.graph, inputs: one.graph.inputs.map((port) => ({ ...port, port: `pcap:/${hostile}` })) };
  const model = modelOf([renamed({ ...one, graph }, hostile)], { 1001: hostile });
  for (const columns of [40, 80, 200]) {
    const picture = draw(model, {}, { columns, lines: 24 });
    for (const line of picture.lines) {
      assert.equal(lineWidth(line), columns);
      assert.doesNotMatch(lineText(line), /[\p{Cc}\p{Cf}]/u);
    }
  }
  assert.match(onceText(model, { columns: 300, isAscii: false }), /\\u\{1b\}\[2J.*\{bold\}\\u\{202e\}捕获/);
});

test('--once: plain text, every engine, no line wider than asked; in ASCII nothing else', async () => {
  const one = await balanced();
  const model = modelOf([one, renamed(one, 'e1')], { 1001: 'zeek' });
  for (const isAscii of [false, true]) {
    for (const columns of [80, 100, 160]) {
      const text = onceText(model, { columns, isAscii });
      assert.doesNotMatch(text, /\p{Cc}(?<!\n)/u);
      for (const line of text.trimEnd().split('\n')) {
        assert.ok(line.length <= columns);
        assert.equal(line, line.trimEnd());
      }
      assert.match(text, /^e0 running/m);
      assert.match(text, /^e1 running/m);
      if (isAscii) assert.match(text, /^[\n -~]*$/);
    }
  }
  const wide = onceText(model, { columns: 100, isAscii: false });
  assert.match(wide, /^packet-bricks 0\.1\.0 .* over 1 s {2}2026-01-01T00:00:02Z$/m);
  assert.match(onceText(modelOf([]), { columns: 80, isAscii: false }), /The daemon has no engines\.\n$/);
});

test('ASCII pictures are ASCII, and say the same', async () => {
  const model = modelOf([await balanced('é')]);
  const picture = drawPicture({
    model,
    view: initialView(1000),
    lost: undefined,
    columns: 80,
    lines: 24,
    glyphs: asciiGlyphs,
  });
  assert.match(textOf(picture), /^[\n -~]*$/);
  assert.match(textOf(picture), /\|> b\}0 .*####\. +95 %/);
});
