// One engine's graph as rows of a tree: input ports above the brick they feed, below it what it sends to. Pure.
//
// A brick that only one other brick feeds stands where that one's output is. A brick with several feeds is a tree of its
// own, drawn below them; where it is fed, its name and number stand for it.
import { bricks } from '../../bricks/registry.ts';
import { applicationPid } from '../../engine/counters.ts';
import type { Graph, GraphBrick } from '../../engine/snapshot.ts';
import { bar, type Glyphs } from './glyphs.ts';
import type { EngineView, Flow, Loss, PortView } from './model.ts';
import { printable, type Span, span } from './text.ts';
import { count, packetRate, percent } from './units.ts';

/** A line of the picture before it is laid out. */
export interface Row {
  /** Drawn in front of the name; `below` in front of further lines of the same row. */
  readonly lead: string;
  readonly below: string;
  readonly name: Span;
  /** Undefined: nothing is counted here yet. */
  readonly flow: Flow | undefined;
  /** What follows the numbers: fill, application, losses. */
  readonly details: readonly Span[];
}

/** In front of every row: the engine's name stands out. */
const indent = ' ';

/** A brick's main option, and those that are not as they are by default. */
function notableOptions({ name = '', options = {} }: Partial<GraphBrick> = {}): [string, unknown][] {
  const descriptor = bricks.get(name);
  const isNotable = (option: string, value: unknown): boolean =>
    option === descriptor?.argument || value !== descriptor?.options[option]?.default;
  return Object.entries(options).filter(([option, value]) => isNotable(option, value));
}

/** What surrounds an engine. */
export interface GraphContext {
  readonly glyphs: Glyphs;
  /** Names of programs by process id. */
  readonly applications: Readonly<Record<string, string>>;
  /** Width of a pipe's bar. */
  readonly barColumns: number;
}

/** "pipe_full 90.1 kpps (1.23 M)": the reason, the rate unless it is nothing, in parentheses how many in all. */
export function lossSpans(losses: readonly Loss[]): Span[] {
  return losses.map(({ reason, packets, packetsPerS }) => {
    const isNow = packetsPerS !== undefined && packetsPerS > 0;
    const rate = isNow ? ` ${packetRate(packetsPerS)}` : '';
    return span(`${reason}${rate} (${count(packets)})`, isNow ? 'bad' : 'warn');
  });
}

/** Gauges with a place of their own, and counters that say nothing about packets. */
const shownElsewhere = new Set(['ring_bytes', 'used_bytes', 'used_bytes_max', 'reader_pid', 'writer_pid', 'attaches']);

/** Counters of what has gone wrong without being a loss: `unread`, `corrupt`, `reader_faults`. */
function otherSpans(others: Readonly<Record<string, number>>): Span[] {
  return Object.entries(others)
    .filter(([name, value]) => value > 0 && !shownElsewhere.has(name))
    .map(([name, value]) => span(`${name} ${count(value)}`, 'warn'));
}

/** How full a pipe is, and who is at its other end. */
function pipeSpans({ stats }: PortView, isRunning: boolean, context: GraphContext): Span[] {
  const { glyphs, applications, barColumns } = context;
  const pid = applicationPid(stats);
  if (pid === undefined || !isRunning) return [];
  const { ring_bytes: size = 0, used_bytes: used = 0 } = stats.others;
  const fill = `${bar(glyphs, used, size, barColumns)} ${percent(used, size).padStart(5)}`;
  if (pid === 0) return [span(fill), span(stats.role === 'output' ? 'no reader' : 'no writer', 'warn')];
  // A ring this full is about to lose packets.
  const isFilling = used > 0.9 * size;
  return [
    span(fill, isFilling ? 'warn' : 'plain'),
    span(`${printable(applications[pid] ?? 'unknown', glyphs.isAscii)}[${pid}]`),
  ];
}

/** `eth3}0` as applications call it; other ports with their driver. */
function portName(port: string, isAscii: boolean): string {
  return printable(port.replace(/^(pipe|inject):/, ''), isAscii);
}

/** Indices of the bricks, each behind those that feed it; in the graph's order otherwise. */
function inOrder({ bricks, edges }: Graph): number[] {
  const order: number[] = [];
  const isPlaced = new Set<number>();
  const place = (brick: number): void => {
    if (isPlaced.has(brick)) return;
    isPlaced.add(brick);
    for (const edge of edges) if (edge.to === brick) place(edge.from);
    order.push(brick);
  };
  bricks.forEach((_, brick) => {
    place(brick);
  });
  return order;
}

class Tree {
  readonly rows: Row[] = [];
  readonly #engine: EngineView;
  readonly #graph: Graph;
  readonly #context: GraphContext;
  /** Numbers of bricks that stand apart from those that feed them. */
  readonly #numbers = new Map<number, number>();

  constructor(engine: EngineView, context: GraphContext) {
    this.#engine = engine;
    this.#graph = engine.snapshot.graph;
    this.#context = context;
    const apart = inOrder(this.#graph).filter((brick) => !this.#isNested(brick));
    for (const brick of apart) {
      if (this.#graph.edges.some((edge) => edge.to === brick)) this.#numbers.set(brick, this.#numbers.size + 1);
    }
    for (const brick of apart) {
      this.#inputs(brick);
      this.#brick(brick, indent, indent);
    }
  }

  /** Fed by one output of another brick and by nothing else. */
  #isNested(brick: number): boolean {
    const edges = this.#graph.edges.filter((edge) => edge.to === brick);
    return edges.length === 1 && !this.#graph.inputs.some((input) => input.brick === brick);
  }

  #brickName(brick: number): string {
    const number = this.#numbers.get(brick);
    const name = this.#graph.bricks[brick]?.name ?? '';
    return number === undefined ? name : `${name} #${number}`;
  }

  #port(port: string, stats: PortView | undefined, lead: string, below: string): void {
    const isRunning = this.#engine.snapshot.stats.state !== 'stopped';
    this.rows.push({
      lead,
      below,
      name: span(portName(port, this.#context.glyphs.isAscii)),
      flow: stats?.flow,
      details:
        stats === undefined
          ? []
          : [
              ...pipeSpans(stats, isRunning, this.#context),
              ...lossSpans(stats.losses),
              ...otherSpans(stats.stats.others),
            ],
    });
  }

  #inputs(brick: number): void {
    const { firstInput, input, beside } = this.#context.glyphs;
    let lead = indent + firstInput;
    this.#graph.inputs.forEach(({ port, brick: fed }, i) => {
      if (fed !== brick) return;
      this.#port(port, this.#engine.ports[i], lead, indent + beside);
      lead = indent + input;
    });
  }

  /** A brick, and below it what it sends to. */
  #brick(brick: number, lead: string, below: string): void {
    const view = this.#engine.bricks[brick];
    const options = notableOptions(this.#graph.bricks[brick]);
    this.rows.push({
      lead,
      below: below + this.#context.glyphs.beside,
      name: span(this.#brickName(brick), 'strong'),
      flow: view?.received,
      details: [
        ...options.map(([name, value]) => span(printable(`${name}=${value}`, this.#context.glyphs.isAscii))),
        ...(view === undefined ? [] : [...lossSpans(view.losses), ...otherSpans(view.stats.others)]),
      ],
    });
    this.#outputs(brick, below);
  }

  #outputs(brick: number, below: string): void {
    const { glyphs } = this.#context;
    const { edges, inputs, outputs } = this.#graph;
    const targets = [
      ...edges.filter((edge) => edge.from === brick).map((edge) => ({ ...edge, port: undefined, at: 0 })),
      ...outputs
        .map((output, i) => ({ ...output, to: -1, at: inputs.length + i }))
        .filter((output) => output.brick === brick),
    ].sort((a, b) => a.output - b.output);
    targets.forEach(({ output, port, at, to }, i) => {
      const isLast = i === targets.length - 1;
      const deeper = below + (isLast ? '   ' : glyphs.beside);
      if (port === undefined && this.#isNested(to)) {
        this.#brick(to, below + (isLast ? glyphs.lastChild : glyphs.child), deeper);
        return;
      }
      const lead = below + (isLast ? glyphs.lastOutput : glyphs.output);
      if (port !== undefined) {
        this.#port(port, this.#engine.ports[at], lead, deeper);
      } else {
        const name = span(this.#brickName(to), 'strong');
        this.rows.push({ lead, below: deeper, name, flow: this.#engine.bricks[brick]?.outputs[output], details: [] });
      }
    });
  }
}

/** The engine's graph, from its inputs to its outputs. */
export function graphRows(engine: EngineView, context: GraphContext): readonly Row[] {
  return new Tree(engine, context).rows;
}
