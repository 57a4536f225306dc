// From a model to lines of exactly the asked width: engines with their graphs in columns. Pure.
//
// The full screen (picture.ts) and --once (once.ts) are made of the same lines. A picture of 4 engines with 64 pipes
// takes 0.6 ms, one of 256 engines with 1024 pipes 21 ms; advance() of model.ts takes a tenth of that.
import { type Glyphs, sparkline } from './glyphs.ts';
import { type GraphContext, graphRows, lossSpans, type Row } from './graph_text.ts';
import { type EngineView, type Flow, historyMax, type Model } from './model.ts';
import { fit, type Line, lineWidth, padEnd, padStart, printable, type Span, shorten, span, width } from './text.ts';
import { bitRate, count, duration, packetRate } from './units.ts';
import type { SortOrder } from './view.ts';

const packetColumns = 9;
const bitColumns = 11;
const countColumns = 7;
/** The numbers, a blank in front of each. */
const numberColumns = packetColumns + bitColumns + countColumns + 3;

/** What details get at least: a pipe's fill and its application. */
const detailColumnsMin = 30;
const nameColumnsMin = 18;
const nameColumnsMax = 56;

/** Screens from here on have room for longer bars. */
const roomyColumns = 100;

/** What the lines are drawn with. */
export interface Style {
  readonly columns: number;
  readonly glyphs: Glyphs;
}

/** Lines of one engine. */
export interface Block {
  readonly engine: string;
  readonly lines: readonly Line[];
}

export interface BlockOptions {
  /** Shown in inverse. */
  readonly selected: string | undefined;
  readonly hasGraphs: boolean;
  /** none: there is no history to show; short: both series on one line; long: a line each, and the engine's settings. */
  readonly history: 'none' | 'short' | 'long';
}

const collator = new Intl.Collator('en', { numeric: true });

/** How full the engine's fullest pipe is, 0 to 1. */
function fullest({ ports }: EngineView): number {
  return Math.max(0, ...ports.map(({ stats }) => (stats.others.used_bytes ?? 0) / (stats.others.ring_bytes || 1)));
}

const sortKeys: Readonly<Record<SortOrder, (engine: EngineView) => number>> = {
  name: () => 0,
  received: (engine) => engine.received.packetsPerS ?? engine.received.packets,
  lost: (engine) => engine.lostPerS ?? engine.lostPackets,
  fill: fullest,
};

/** The most first; by name where that is the same. */
export function sorted(engines: readonly EngineView[], order: SortOrder): readonly EngineView[] {
  const key = sortKeys[order];
  const name = (engine: EngineView): string => engine.snapshot.stats.engine;
  return engines
    .map((engine) => ({ engine, key: key(engine) }))
    .sort((a, b) => b.key - a.key || collator.compare(name(a.engine), name(b.engine)))
    .map(({ engine }) => engine);
}

/** Rate, bits and count of a place, each in its column; blank where nothing is known. */
function numbers(flow: Flow | undefined): string {
  const cell = (value: number | undefined, text: (value: number) => string, columns: number): string =>
    ` ${padStart(value === undefined ? '' : text(value), columns)}`;
  return (
    cell(flow?.packetsPerS, packetRate, packetColumns) +
    cell(flow?.bitsPerS, bitRate, bitColumns) +
    cell(flow?.packets, count, countColumns)
  );
}

/** Lines of a row: details that do not fit beside the numbers go on below them. */
function rowLines(row: Row, nameColumns: number, { columns, glyphs }: Style): Line[] {
  const name = shorten(row.name.text, nameColumns - width(row.lead), glyphs.ellipsis);
  const padding = ' '.repeat(Math.max(0, nameColumns - width(row.lead) - width(name)));
  const lines: Span[][] = [[span(row.lead), span(name, row.name.style), span(padding + numbers(row.flow))]];
  let used = nameColumns + numberColumns;
  for (const detail of row.details) {
    const columnsWanted = 2 + width(detail.text);
    if (used + columnsWanted > columns) {
      lines.push([span(padEnd(row.below, 3))]);
      used = Math.max(3, width(row.below));
    }
    lines.at(-1)?.push(span('  '), detail);
    used += columnsWanted;
  }
  return lines;
}

function engineRow({ snapshot, received, sent, losses }: EngineView, glyphs: Glyphs): Row {
  const { stats } = snapshot;
  const sentText = sent.packetsPerS === undefined ? count(sent.packets) : packetRate(sent.packetsPerS);
  return {
    lead: '',
    below: '   ',
    name: span(`${printable(stats.engine, glyphs.isAscii)} ${stats.state}`, 'strong'),
    flow: received,
    details: [
      span(`sent ${sentText}`),
      ...lossSpans(losses),
      ...(stats.inFlight > 0 ? [span(`in flight ${count(stats.inFlight)}`)] : []),
    ],
  };
}

/** What the engine received and lost over the last minutes. */
function historyLines(engine: EngineView, kind: BlockOptions['history'], { columns, glyphs }: Style): Line[] {
  const { history, samples, lostPackets } = engine;
  if (kind === 'none') return [];
  const draw = (values: readonly number[], wanted: number): string =>
    sparkline(glyphs, values, { columns: wanted, end: samples, capacity: historyMax });
  const [rx, lost] = [history.map((sample) => sample.receivedPerS), history.map((sample) => sample.lostPerS)];
  const lostStyle = lost.some((value) => value > 0) ? 'bad' : lostPackets > 0 ? 'warn' : 'plain';
  if (kind === 'short') {
    const each = Math.floor((columns - ' received   lost '.length - 1) / 2);
    return [[span(` received ${padEnd(draw(rx, each), each)}`), span('  lost '), span(draw(lost, each), lostStyle)]];
  }
  const peak = (values: readonly number[]): string => padStart(packetRate(Math.max(0, ...values)), packetColumns);
  const each = Math.min(historyMax, columns - ' received  most 1.23 Mpps'.length - 1);
  const past = (history.at(-1)?.monotonicMs ?? 0) - (history[0]?.monotonicMs ?? 0);
  const { batchPackets, bufferSlots, cpu } = engine.snapshot;
  const thread = cpu < 0 ? 'not pinned' : `pinned to cpu ${cpu}`;
  return [
    [span(` received ${padEnd(draw(rx, each), each)} most ${peak(rx)}`)],
    [span(' lost     '), span(padEnd(draw(lost, each), each), lostStyle), span(` most ${peak(lost)}`)],
    [span(` in ${duration(past)}; batches of ${batchPackets}, pipes of ${bufferSlots} slots, ${thread}`)],
  ];
}

/** Names of ports and bricks stand in a column as wide as the longest needs, within what the screen gives. */
function nameColumnsOf(rows: readonly Row[], columns: number): number {
  const longest = rows.reduce((most, { lead, name }) => Math.max(most, width(lead) + width(name.text)), nameColumnsMin);
  const room = columns - numberColumns - detailColumnsMin;
  return Math.max(nameColumnsMin, Math.min(longest, nameColumnsMax, room));
}

function inverse(line: Line, columns: number): Line {
  return fit([...line.map(({ text }) => span(text, 'chosen')), span('', 'chosen')], columns);
}

/** What stands over the columns of numbers. */
function titleLine(nameColumns: number, columns: number, glyphs: Glyphs): Line {
  const { input, output } = glyphs;
  const legend = `in ${input.slice(1).trim()}  out ${output.slice(1).trim()}`;
  const cells = ` ${padStart('packets/s', packetColumns)} ${padStart('on the wire', bitColumns)} ${padStart('total', countColumns)}`;
  return fit([span(`${padEnd(legend, nameColumns)}${cells}  fill, application, losses`)], columns);
}

/** The engines' lines, all of the style's width, and the line of column titles above them. */
export function engineBlocks(
  model: Model,
  engines: readonly EngineView[],
  options: BlockOptions,
  style: Style,
): { readonly titles: Line; readonly blocks: readonly Block[] } {
  const { columns, glyphs } = style;
  const context: GraphContext = {
    glyphs,
    applications: model.snapshot.applications,
    barColumns: columns >= roomyColumns ? 10 : 5,
  };
  const parts = engines.map((engine) => ({
    engine,
    head: engineRow(engine, glyphs),
    rows: options.hasGraphs ? graphRows(engine, context) : [],
  }));
  const nameColumns = nameColumnsOf(
    parts.flatMap(({ head, rows }) => [head, ...rows]),
    columns,
  );
  const blocks = parts.map(({ engine, head, rows }) => {
    const name = engine.snapshot.stats.engine;
    const [first = [], ...more] = rowLines(head, nameColumns, style);
    const lines = [
      name === options.selected ? inverse(first, columns) : first,
      ...more,
      ...historyLines(engine, options.history, style),
      ...rows.flatMap((row) => rowLines(row, nameColumns, style)),
      ...(options.hasGraphs ? [[]] : []),
    ];
    return { engine: name, lines: lines.map((line) => fit(line, columns)) };
  });
  return { titles: titleLine(nameColumns, columns, glyphs), blocks };
}

/**
 * What is known of the daemon, on one line: as many facts, most important first, as fit beside the status.
 *
 * @param status at the right end: that the picture stands still, or is old
 */
export function headerLine(facts: readonly string[], status: Span | undefined, columns: number): Line {
  const room = columns - (status === undefined ? 0 : width(status.text) + 2);
  let left = '';
  for (const fact of facts) {
    const longer = left === '' ? fact : `${left}  ${fact}`;
    if (width(longer) > room) break;
    left = longer;
  }
  if (status === undefined) return fit([span(left, 'strong')], columns);
  const line = [span(padEnd(left, room), 'strong'), span('  '), status];
  return lineWidth(line) > columns ? fit([status], columns) : fit(line, columns);
}

/** Facts about the daemon for {@link headerLine}. */
export function daemonFacts({ snapshot }: Model, isAscii: boolean): string[] {
  const { pid, version, startedMs, timeMs, clients } = snapshot;
  return [
    `packet-bricks ${printable(version, isAscii)}`,
    `daemon ${pid}`,
    `up ${duration(timeMs - startedMs)}`,
    `${clients} ${clients === 1 ? 'client' : 'clients'}`,
  ];
}
