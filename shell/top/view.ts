// What the user looks at, and how each key changes it. Pure: run_top.ts keeps the view, layout.ts draws it.

/** Orders of engines: by name; by what they receive, lose; by their fullest pipe. */
export const sortOrders = ['name', 'received', 'lost', 'fill'] as const;
export type SortOrder = (typeof sortOrders)[number];

/** Times between two pictures that + and - go through, in milliseconds. */
const intervals = [200, 500, 1000, 2000, 5000, 10_000] as const;

export interface View {
  /** The name of an engine; undefined, or of one that is gone: the first. */
  readonly selected: string | undefined;
  /** Only the selected engine is shown. */
  readonly isAlone: boolean;
  /** Lines of the body that are scrolled out above. */
  readonly offset: number;
  /** The body scrolls so that the selected engine is seen. */
  readonly follows: boolean;
  readonly sort: SortOrder;
  readonly hasGraphs: boolean;
  readonly isPaused: boolean;
  readonly isHelp: boolean;
  readonly intervalMs: number;
}

export function initialView(intervalMs: number): View {
  return {
    selected: undefined,
    isAlone: false,
    offset: 0,
    follows: true,
    sort: 'name',
    hasGraphs: true,
    isPaused: false,
    isHelp: false,
    intervalMs,
  };
}

/** What a key's meaning depends on. */
export interface KeyContext {
  /** Engines as they are sorted now. */
  readonly names: readonly string[];
  /** Lines of the body. */
  readonly pageLines: number;
}

/** Help for keys: the overlay shows it. */
export const keyTexts: readonly (readonly [keys: string, text: string])[] = [
  ['up down, j k', 'select an engine; scroll the graph that is shown alone'],
  ['enter, right', 'show the selected engine alone'],
  ['escape, left', 'back to all engines'],
  ['PgUp PgDn', 'scroll by a page; Home, End: to the beginning, to the end'],
  ['g', 'hide the graphs, show them again'],
  ['s', 'sort engines by name, packets received, lost, fullest pipe'],
  ['p, space', 'pause the picture; counting goes on'],
  ['+ -', 'longer, shorter time between two pictures (0.2 s to 10 s)'],
  ['h, ?', 'this help'],
  ['q, Ctrl-C', 'quit'],
];

function selectedIndex(view: View, names: readonly string[]): number {
  return Math.max(0, view.selected === undefined ? 0 : names.indexOf(view.selected));
}

/** Moves the selection, or scrolls where there is nothing to select. */
function move(view: View, steps: number, { names }: KeyContext): View {
  if (view.isAlone) return scroll(view, steps);
  const to = Math.min(names.length - 1, Math.max(0, selectedIndex(view, names) + steps));
  return { ...view, selected: names[to], follows: true };
}

/** layout.ts keeps the offset within the body. */
function scroll(view: View, lines: number): View {
  return { ...view, offset: Math.max(0, view.offset + lines), follows: false };
}

function otherInterval(now: number, isLonger: boolean): number {
  const found = isLonger ? intervals.find((ms) => ms > now) : intervals.findLast((ms) => ms < now);
  return found ?? now;
}

/** The view after a key, named as blessed names keys; undefined: quit. */
export function pressKey(view: View, key: string, context: KeyContext): View | undefined {
  if (key === 'q' || key === 'C-c') return undefined;
  // Whatever else is pressed closes the help, and does nothing more: its lines cover what the key is about.
  if (view.isHelp) return { ...view, isHelp: false };
  switch (key) {
    case 'h':
    case '?':
      return { ...view, isHelp: true };
    case 'up':
    case 'k':
      return move(view, -1, context);
    case 'down':
    case 'j':
      return move(view, 1, context);
    case 'pageup':
      return scroll(view, -context.pageLines);
    case 'pagedown':
      return scroll(view, context.pageLines);
    case 'home':
      return { ...scroll(view, Number.NEGATIVE_INFINITY), selected: view.isAlone ? view.selected : context.names[0] };
    case 'end':
      return {
        ...scroll(view, Number.MAX_SAFE_INTEGER),
        selected: view.isAlone ? view.selected : context.names.at(-1),
      };
    case 'enter':
    case 'right':
      // By name from now on: the order may change.
      if (view.isAlone || context.names.length === 0) return view;
      return { ...view, selected: context.names[selectedIndex(view, context.names)], isAlone: true, offset: 0 };
    case 'escape':
    case 'left':
      return { ...view, isAlone: false, follows: true };
    case 'g':
      return { ...view, hasGraphs: !view.hasGraphs, follows: true };
    case 's': {
      const next = sortOrders[(sortOrders.indexOf(view.sort) + 1) % sortOrders.length] ?? 'name';
      return { ...view, sort: next, follows: true };
    }
    case 'p':
    case 'space':
      return { ...view, isPaused: !view.isPaused };
    case '+':
    case '=':
      return { ...view, intervalMs: otherInterval(view.intervalMs, true) };
    case '-':
      return { ...view, intervalMs: otherInterval(view.intervalMs, false) };
    default:
      return view;
  }
}
