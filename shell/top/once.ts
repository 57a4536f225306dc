// `bricks-top --once`: the picture as plain text, for a mail or a log. Called by shell/bricks_top.ts.
import { BricksError } from '../../engine/errors.ts';
import type { SnapshotFeed } from './feed.ts';
import { asciiGlyphs, unicodeGlyphs } from './glyphs.ts';
import { daemonFacts, engineBlocks, headerLine, sorted } from './layout.ts';
import { advance, type Model } from './model.ts';
import { lineText } from './text.ts';
import { seconds } from './units.ts';

export interface OnceOptions {
  /** Columns of a line. */
  readonly columns: number;
  readonly isAscii: boolean;
}

/** The picture of a model: engines by name, every line without blanks at its end. */
export function onceText(model: Model, { columns, isAscii }: OnceOptions): string {
  const glyphs = isAscii ? asciiGlyphs : unicodeGlyphs;
  const { snapshot, elapsedMs } = model;
  const date = new Date(snapshot.timeMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const facts = [
    ...daemonFacts(model, isAscii),
    ...(elapsedMs === undefined ? [] : [`over ${seconds(elapsedMs)}`]),
    date,
  ];
  const options = { selected: undefined, hasGraphs: true, history: 'none' } as const;
  const { titles, blocks } = engineBlocks(model, sorted(model.engines, 'name'), options, { columns, glyphs });
  const body = blocks.length === 0 ? [[]] : [titles, ...blocks.flatMap(({ lines }) => lines)];
  const lines = [headerLine(facts, undefined, columns), ...body].map((line) => lineText(line).trimEnd());
  const text = blocks.length === 0 ? [...lines, 'The daemon has no engines.'] : lines;
  return `${text.join('\n').trimEnd()}\n`;
}

/** Columns of the terminal, or what COLUMNS says; 100 where neither does. */
export function outputColumns(): number {
  const asked = Number(process.env.COLUMNS);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return process.stdout.columns ?? 100;
}

/** Two snapshots and the rates between them. */
function takeModel(feed: SnapshotFeed, intervalMs: number): Promise<Model> {
  return new Promise((resolve, reject) => {
    let model: Model | undefined;
    feed.onLost((reason) => reject(BricksError.of('DAEMON_GONE', { reason })));
    feed.subscribe(intervalMs, (snapshot) => {
      model = advance(model, snapshot);
      if (model.elapsedMs !== undefined) resolve(model);
    });
  });
}

/** The picture, with the rates over one interval; closes the feed. Throws DAEMON_GONE where the daemon goes before. */
export async function topOnce(
  feed: SnapshotFeed,
  options: OnceOptions & { readonly intervalMs: number },
): Promise<string> {
  try {
    return onceText(await takeModel(feed, options.intervalMs), options);
  } finally {
    feed.close();
  }
}
