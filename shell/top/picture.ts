// The whole screen for a model, a view and a size: header, titles, body, keys. Pure. run_top.ts calls it.
import type { Glyphs } from './glyphs.ts';
import { type Block, type BlockOptions, daemonFacts, engineBlocks, headerLine, sorted } from './layout.ts';
import type { Model } from './model.ts';
import { fit, type Line, padEnd, printable, type Span, span } from './text.ts';
import { seconds } from './units.ts';
import { keyTexts, type View } from './view.ts';

export interface PictureInput {
  /** Undefined until the first snapshot. */
  readonly model: Model | undefined;
  readonly view: View;
  /** Why there is no daemon; undefined: there is one. */
  readonly lost: string | undefined;
  readonly columns: number;
  readonly lines: number;
  readonly glyphs: Glyphs;
}

export interface Picture {
  /** As many as the screen has, each of its width. */
  readonly lines: readonly Line[];
  /** The view's offset, kept within the body. */
  readonly offset: number;
  /** Engines as they are sorted. */
  readonly names: readonly string[];
  /** Lines of the body. */
  readonly pageLines: number;
}

/** Header, titles and keys. */
const frameLines = 3;

function statusOf({ view, lost }: PictureInput): Span | undefined {
  if (lost !== undefined) return span('connection lost, waiting', 'bad');
  return view.isPaused ? span('PAUSED', 'chosen') : undefined;
}

function header(input: PictureInput): Line {
  const { model, view, glyphs, columns } = input;
  const facts = model === undefined ? ['packet-bricks'] : daemonFacts(model, glyphs.isAscii);
  return headerLine([...facts, `every ${seconds(view.intervalMs)}`], statusOf(input), columns);
}

function footer({ view, glyphs, columns }: PictureInput): Line {
  const choice = view.isAlone ? 'esc back' : 'enter alone';
  const text = `q quit  h help  ${choice}  s sort: ${view.sort}  p pause  +/- interval  g graphs`;
  return fit([span(view.isHelp ? 'any key: back' : printable(text, glyphs.isAscii), 'strong')], columns);
}

function helpLines(): Line[] {
  const keys = keyTexts.map(([key, text]) => [span(`  ${padEnd(key, 14)}`, 'strong'), span(text)]);
  const rest = [
    'A port has its rate, its bits on the wire, and its packets in all.',
    'A pipe has its fill, and the program that reads it.',
    'Losses have a reason, a rate while there is one, and in parentheses how many',
    'in all: red while packets are being lost, yellow when some were.',
  ];
  return [[], ...keys, [], ...rest.map((text) => [span(`  ${text}`)])];
}

/** The first line to show, so that the selected block is seen: whole if it fits, from its begin if not. */
function followed(blocks: readonly Block[], selected: string, offset: number, pageLines: number): number {
  let begin = 0;
  for (const { engine, lines } of blocks) {
    if (engine === selected) {
      const end = begin + lines.length;
      return begin < offset || lines.length > pageLines ? begin : Math.max(offset, end - pageLines);
    }
    begin += lines.length;
  }
  return offset;
}

/** What the body says where there is no engine to show. */
function emptyBody({ model, lost }: PictureInput): Line[] {
  if (lost !== undefined && model === undefined) return [[span(printable(lost, false))]];
  return [[span(model === undefined ? 'waiting for the first counters' : 'The daemon has no engines.')]];
}

/** The screen now. */
export function drawPicture(input: PictureInput): Picture {
  const { model, view, columns, glyphs } = input;
  const pageLines = Math.max(1, input.lines - frameLines);
  const engines = model === undefined ? [] : sorted(model.engines, view.sort);
  const names = engines.map((engine) => engine.snapshot.stats.engine);
  const selected = names.find((name) => name === view.selected) ?? names[0];
  const isAlone = view.isAlone && selected === view.selected;
  const shown = isAlone ? engines.filter((_, i) => names[i] === selected) : engines;
  const options: BlockOptions = {
    selected: isAlone ? undefined : selected,
    hasGraphs: isAlone || view.hasGraphs,
    history: isAlone ? 'long' : view.hasGraphs ? 'short' : 'none',
  };
  const drawn = model && shown.length > 0 ? engineBlocks(model, shown, options, { columns, glyphs }) : undefined;
  const body = drawn?.blocks.flatMap(({ lines }) => lines) ?? emptyBody(input);
  const wanted =
    drawn && view.follows && !isAlone && selected !== undefined
      ? followed(drawn.blocks, selected, view.offset, pageLines)
      : view.offset;
  const offset = Math.max(0, Math.min(wanted, body.length - pageLines));
  const visible = view.isHelp ? helpLines() : body.slice(offset, offset + pageLines);
  const blank = fit([], columns);
  const lines = [
    header(input),
    drawn?.titles ?? blank,
    ...visible.slice(0, pageLines).map((line) => fit(line, columns)),
  ];
  while (lines.length < input.lines - 1) lines.push(blank);
  return { lines: [...lines, footer(input)].slice(0, input.lines), offset, names, pageLines };
}
