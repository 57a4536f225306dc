// Command lines as data: one table from which a command line is parsed, --help is printed and man pages are made.
import { parseArgs } from 'node:util';

/** How commands end: what scripts and service managers rely on. */
export const exitStatus = { success: 0, failure: 1, usage: 2 } as const;

/** One option of a command. */
export interface CommandOption {
  readonly long: string;
  readonly short?: string;
  /** What stands for its value in help texts; without it the option is a switch. */
  readonly value?: string;
  /** One line for users. */
  readonly text: string;
}

/** A program as its users see it. */
export interface Command {
  readonly name: string;
  /** What it does, in one line. */
  readonly text: string;
  readonly options: readonly CommandOption[];
  /** What stands behind the options, as in "IFACE N". Empty: nothing may. */
  readonly positionals: readonly string[];
  /** Paragraphs below the options: exit status, environment. */
  readonly notes: readonly string[];
}

/** A command line taken apart. */
export interface ParsedCommand {
  readonly values: Readonly<Record<string, string | undefined>>;
  readonly switches: ReadonlySet<string>;
  readonly positionals: readonly string[];
}

/** What is wrong with a command line, in one line. */
export class UsageError extends Error {}

/** The options that every command has. */
export const commonOptions: readonly CommandOption[] = [
  { long: 'help', short: 'h', text: 'print this text and exit' },
  { long: 'version', short: 'v', text: 'print the version and exit' },
];

/** Takes a command line apart. Throws {@link UsageError}. */
export function parseCommand(command: Command, args: readonly string[]): ParsedCommand {
  const options = Object.fromEntries(
    command.options.map(({ long, short, value }) => [
      long,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), ...(short !== undefined && { short }) },
    ]),
  );
  let parsed: { values: Record<string, string | boolean | undefined>; positionals: string[] };
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Node's hint about "--" has no use here.
    const text = error instanceof Error ? error.message : String(error);
    throw new UsageError((text.split(/[.\n] ?/)[0] ?? text).replace(/^U/, 'u').replace(/^O/, 'o'));
  }
  const { positionals } = parsed;
  if (positionals.length > command.positionals.length) {
    throw new UsageError(`unexpected argument '${positionals[command.positionals.length]}'`);
  }
  const values: Record<string, string> = {};
  const switches = new Set<string>();
  for (const [name, value] of Object.entries(parsed.values)) {
    if (typeof value === 'string') values[name] = value;
    else if (value === true) switches.add(name);
  }
  return { values, switches, positionals };
}

/** `Usage: bricks [-f file] [-h]` */
export function usageLine(command: Command): string {
  const options = command.options.map(({ long, short, value }) => {
    const name = short === undefined ? `--${long}` : `-${short}`;
    return value === undefined ? `[${name}]` : `[${name} ${value}]`;
  });
  return `Usage: ${[command.name, ...options, ...command.positionals].join(' ')}`;
}

/** What --help prints. */
export function helpText(command: Command): string {
  const names = command.options.map(({ long, short, value }) => {
    const both = `${short === undefined ? '    ' : `-${short}, `}--${long}`;
    return value === undefined ? both : `${both} ${value}`;
  });
  const width = Math.max(...names.map((name) => name.length));
  const lines = command.options.map(({ text }, i) => `  ${(names[i] ?? '').padEnd(width)}  ${text}`);
  return [usageLine(command), '', command.text, '', ...lines, ...command.notes.flatMap((note) => ['', note]), ''].join(
    '\n',
  );
}
