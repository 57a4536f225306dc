// The full-screen dashboard: connects the feed, the model, the view and the terminal. Called by shell/bricks_top.ts.
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import { exitAfterHangup } from '../prompt/terminal.ts';
import type { Snapshot } from '../protocol/messages.ts';
import type { SnapshotFeed } from './feed.ts';
import { asciiGlyphs, unicodeGlyphs } from './glyphs.ts';
import { advance, type Model } from './model.ts';
import { drawPicture, type Picture } from './picture.ts';
import { Screen } from './screen.ts';
import { initialView, pressKey, type View } from './view.ts';

export interface TopOptions {
  readonly intervalMs: number;
  readonly isAscii: boolean;
}

/** Signals that end the program as they always do, but not before the terminal is as it was. */
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

class Top {
  readonly #feed: SnapshotFeed;
  readonly #screen: Screen;
  readonly #isAscii: boolean;
  readonly #end: (status: number) => void;
  #view: View;
  /** What has come, and what is shown: the same unless paused. */
  #model: Model | undefined;
  #shown: Model | undefined;
  #lost: string | undefined;
  #picture: Picture | undefined;

  constructor(feed: SnapshotFeed, { intervalMs, isAscii }: TopOptions, end: (status: number) => void) {
    this.#feed = feed;
    this.#isAscii = isAscii;
    this.#end = end;
    this.#view = initialView(intervalMs);
    this.#screen = new Screen({ isAscii }, { key: (name) => this.#key(name), resized: () => this.#draw() });
    feed.onLost((reason) => {
      this.#lost = reason;
      this.#draw();
    });
    feed.onBack(() => {
      this.#lost = undefined;
      this.#draw();
    });
    this.#subscribe();
    this.#draw();
  }

  close(): void {
    this.#feed.close();
    this.#screen.close();
  }

  #subscribe(): void {
    this.#feed.subscribe(this.#view.intervalMs, (snapshot) => this.#take(snapshot));
  }

  #take(snapshot: Snapshot): void {
    this.#model = advance(this.#model, snapshot);
    this.#draw();
  }

  #key(name: string): void {
    const { names = [], pageLines = 1 } = this.#picture ?? {};
    const view = pressKey(this.#view, name, { names, pageLines });
    if (view === undefined) {
      this.#end(0);
      return;
    }
    const hasNewInterval = view.intervalMs !== this.#view.intervalMs;
    this.#view = view;
    if (hasNewInterval) this.#subscribe();
    this.#draw();
  }

  #draw(): void {
    if (!this.#view.isPaused) this.#shown = this.#model;
    this.#picture = drawPicture({
      model: this.#shown,
      view: this.#view,
      lost: this.#lost,
      columns: this.#screen.columns,
      lines: this.#screen.lines,
      glyphs: this.#isAscii ? asciiGlyphs : unicodeGlyphs,
    });
    // A key moves from what is seen, not from an offset that the body does not have.
    this.#view = { ...this.#view, offset: this.#picture.offset };
    this.#screen.show(this.#picture.lines);
  }
}

/**
 * Shows the dashboard until the user quits, a signal ends the program, or the terminal is gone; closes the feed and
 * gives the terminal back. The exit status is 0, 128 and the signal's number, or 1 without a terminal.
 */
export async function runTop(feed: SnapshotFeed, options: TopOptions): Promise<number> {
  // "dumb" says that the cursor cannot be moved.
  if (!isatty(0) || !isatty(1) || process.env.TERM === 'dumb') {
    feed.close();
    process.stderr.write('bricks-top: no terminal that can show a full screen; use bricks-top --once\n');
    return 1;
  }
  let end: (status: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  const onSignal = (signal: NodeJS.Signals): void => end(128 + constants.signals[signal]);
  const onGone = (): void => end(128 + constants.signals.SIGHUP);
  for (const signal of endingSignals) process.on(signal, onSignal);
  // These stay: what is written while the terminal is given back can fail as well.
  for (const stream of [process.stdin, process.stdout]) stream.on('error', onGone);
  process.stdin.on('end', onGone);
  const top = new Top(feed, options, end);
  const status = await ended;
  top.close();
  for (const signal of endingSignals) process.off(signal, onSignal);
  return isatty(1) ? status : exitAfterHangup(status);
}
