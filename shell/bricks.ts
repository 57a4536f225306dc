#!/usr/bin/env node
// bricks: the program. Takes its command line apart, and loads the engine only when it is to run.
import { version } from '../package_info.ts';
import {
  type Command,
  commonOptions,
  exitStatus,
  helpText,
  type ParsedCommand,
  parseCommand,
  UsageError,
} from './options.ts';

export const bricksCommand: Command = {
  name: 'bricks',
  text: 'Distributes the packets of an interface or a capture to applications, as a Lua script says.',
  options: [
    { long: 'file', short: 'f', value: 'script.lua', text: 'run this script first' },
    { long: 'batch', short: 'b', value: 'packets', text: 'packets in a batch, 1 to 4096 (default 256)' },
    { long: 'driver', value: 'driver', text: 'the driver that a bare interface name means (default packet)' },
    ...commonOptions,
  ],
  positionals: [],
  notes: [
    `On a terminal a prompt follows the script; BRICKS.help() says what can be typed there, Ctrl-D ends it.
Without a terminal the script is read from -f or standard input, and bricks stays until it gets SIGINT or SIGTERM,
or until no engine has anything left to do.`,
    `Exit status: 0 success, also after SIGINT or SIGTERM; 1 the script failed, or a capture was not read or written
whole; 2 wrong usage; otherwise what the script gave to os.exit().`,
    `Environment: BRICKS_DRIVER as --driver; BRICKS_RUNTIME_DIR where pipes meet their readers.`,
  ],
};

function fail(text: string, status: number): never {
  process.stderr.write(`bricks: ${text}\n`);
  process.exit(status);
}

function usageFailure(error: Error): never {
  fail(`${error.message}; try bricks --help`, exitStatus.usage);
}

function parse(): ParsedCommand {
  try {
    return parseCommand(bricksCommand, process.argv.slice(2));
  } catch (error) {
    if (error instanceof UsageError) usageFailure(error);
    throw error;
  }
}

const parsed = parse();
if (parsed.switches.has('help')) {
  process.stdout.write(helpText(bricksCommand));
} else if (parsed.switches.has('version')) {
  process.stdout.write(`${version}\n`);
} else {
  try {
    const { runBricks } = await import('./run.ts');
    process.exit(await runBricks(parsed.values));
  } catch (error) {
    if (error instanceof UsageError) usageFailure(error);
    if (error instanceof Error && error.name === 'BricksError') fail(error.message, exitStatus.failure);
    throw error;
  }
}
