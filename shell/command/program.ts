// What every program of this package does first and last: its command line, --help, --version, errors, exit status.
import { version } from '../../package_info.ts';
import { endOutput, surviveLostStreams } from '../prompt/terminal.ts';
import { type Command, exitStatus, helpText, type ParsedCommand, parseCommand, UsageError } from './options.ts';

/** Does what a command is for; resolves with the exit status. May throw UsageError and BricksError. */
export type Run = (parsed: ParsedCommand) => Promise<number>;

function fail(command: Command, text: string, status: number): never {
  process.stderr.write(`${command.name}: ${text}\n`);
  process.exit(status);
}

/**
 * Runs a program to its end. `run` should load what it needs itself, so that --help answers at once.
 */
export async function runProgram(command: Command, run: Run, args = process.argv.slice(2)): Promise<never> {
  try {
    const parsed = parseCommand(command, args);
    const { switches } = parsed;
    if (switches.has('help') || switches.has('version')) {
      surviveLostStreams();
      process.stdout.write(switches.has('help') ? helpText(command) : `${version}\n`);
      process.exit(await endOutput(command.name, exitStatus.success));
    }
    process.exit(await endOutput(command.name, await run(parsed)));
  } catch (error) {
    if (error instanceof UsageError) fail(command, `${error.message}; try ${command.name} --help`, exitStatus.usage);
    if (error instanceof Error && error.name === 'BricksError') fail(command, error.message, exitStatus.failure);
    throw error;
  }
}
