// The terminal: shows lines, hands out keys, and gives the terminal back as it was. The only file that knows blessed.
import blessed from 'blessed';
import type { Line, Style } from './text.ts';

/** Select Graphic Rendition for each style, and what stands for colours where there are none. */
const colours: Readonly<Record<Style, string>> = { plain: '', strong: '1', warn: '33', bad: '31', chosen: '7' };
const noColours: Readonly<Record<Style, string>> = { ...colours, warn: '1', bad: '1' };

export interface ScreenOptions {
  /** The terminal's encoding is not UTF-8. */
  readonly isAscii: boolean;
}

export interface ScreenEvents {
  /** As blessed names them: "a", "up", "C-c". */
  key(name: string): void;
  resized(): void;
}

export class Screen {
  readonly #screen: blessed.Widgets.Screen;
  readonly #box: blessed.Widgets.BoxElement;
  readonly #codes: Readonly<Record<Style, string>>;
  #content = '';

  constructor({ isAscii }: ScreenOptions, events: ScreenEvents) {
    this.#codes = process.stdout.hasColors() ? colours : noColours;
    // blessed would switch a terminal of UTF-8 to another character set for each line that it draws, and back.
    if (!isAscii) process.env.NCURSES_NO_UTF8_ACS ??= '1';
    this.#screen = blessed.screen({
      smartCSR: true,
      fullUnicode: !isAscii,
      forceUnicode: !isAscii,
      title: 'bricks-top',
    });
    // Without tags: names hold braces. Styles are SGR sequences, everything else in a line is printable.
    this.#box = blessed.box({
      parent: this.#screen,
      top: 0,
      left: 0,
      width: '100%',
      height: '100%',
      tags: false,
      wrap: false,
    });
    // Enter is reported twice, as "return" and as "enter": the first means nothing to anybody.
    this.#screen.on('keypress', (_char: string | undefined, key: { full?: string }) => {
      if (key.full !== undefined) events.key(key.full);
    });
    this.#screen.on('resize', () => {
      this.#content = '';
      events.resized();
    });
  }

  get columns(): number {
    return Number(this.#screen.width);
  }

  get lines(): number {
    return Number(this.#screen.height);
  }

  /** Shows these lines; of the terminal only those cells are written that changed. */
  show(lines: readonly Line[]): void {
    const content = lines.map((line) => this.#text(line)).join('\n');
    if (content === this.#content) return;
    this.#content = content;
    this.#box.setContent(content);
    this.#screen.render();
  }

  /** Gives the terminal back. */
  close(): void {
    this.#screen.destroy();
  }

  #text(line: Line): string {
    return line
      .map(({ text, style }) => {
        const code = this.#codes[style];
        return code === '' ? text : `\x1b[${code}m${text}\x1b[m`;
      })
      .join('');
  }
}
