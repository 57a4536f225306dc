// bricks-shell: the prompt on the daemon; with -e or without a terminal, one chunk of Lua and its results.
import { constants } from 'node:os';
import { buffer } from 'node:stream/consumers';
import { version } from '../../package_info.ts';
import { checkLevel } from '../command/log_level.ts';
import { exitStatus, type ParsedCommand, UsageError } from '../command/options.ts';
import { deferred } from '../deferred.ts';
import { onEndingSignals } from '../ending_signals.ts';
import { outcomeText } from '../prompt/outcome_text.ts';
import { Prompt } from '../prompt/prompt.ts';
import { isInteractive, surviveLostStreams } from '../prompt/terminal.ts';
import type { LogLevel } from '../protocol/messages.ts';
import type { Evaluation } from '../session/session.ts';
import { ControlClient } from './control_client.ts';
import { DaemonLink } from './daemon_link.ts';
import { RemoteSession } from './remote_session.ts';

const program = 'bricks-shell';

/** Ends as a program does that Ctrl-C has ended. */
const interruptedStatus = 130;

function writeOutput(stream: 'out' | 'err', bytes: Uint8Array): void {
  (stream === 'out' ? process.stdout : process.stderr).write(bytes);
}

/** The prompt: stays when the daemon goes, and goes on with the next one. */
async function runPrompt(): Promise<number> {
  let prompt: Prompt | undefined;
  const link = await DaemonLink.open(program, {
    output: writeOutput,
    lost: (reason) => prompt?.notify(`${program}: ${reason}; waiting for a daemon, Ctrl-D leaves`),
    back: ({ pid }) => prompt?.notify(`${program}: attached to daemon ${pid}, which has its own variables of Lua`),
  });
  process.stdout.write(`BRICKS Version ${version}, daemon ${link.client.pid}; help() says what there is\n`);
  prompt = new Prompt(new RemoteSession(() => link.client), 'leaves; the daemon stays');
  const end = await prompt.run();
  link.close();
  return end.kind === 'exit' ? end.status : exitStatus.success;
}

/** Shows how a chunk ended; the exit status. Errors go to standard error: the other has results only. */
function conclude(outcome: Evaluation): number {
  switch (outcome.kind) {
    case 'done':
      process.stdout.write(outcomeText(outcome));
      return exitStatus.success;
    case 'exit':
      return outcome.status;
    case 'shutdown':
      return exitStatus.success;
    case 'interrupted':
      process.stderr.write(outcomeText(outcome));
      return interruptedStatus;
    case 'incomplete':
      process.stderr.write(`${program}: the code is not complete: something that it opens is not closed\n`);
      return exitStatus.failure;
    case 'error':
      process.stderr.write(`${program}: ${outcomeText(outcome)}`);
      return exitStatus.failure;
  }
}

/** Values as JSON have a line each: what is behind a tab for people is behind a line break for programs. */
function asLines(outcome: Evaluation): Evaluation {
  if (outcome.kind !== 'done') return outcome;
  const text = outcome.values.map((value) => value.text).join('\n');
  return { kind: 'done', values: text === '' ? [] : [{ text, isObject: false }] };
}

/** The first signal ends the chunk, which takes a moment; without one, or with the second, the program ends at once. */
function interruptOnSignal(session: RemoteSession): { hasBegun: boolean } {
  const state = { hasBegun: false };
  onEndingSignals(['SIGINT', 'SIGTERM'], (name, isFirst) => {
    if (!state.hasBegun || !isFirst) process.exit(128 + constants.signals[name]);
    session.interrupt();
  });
  return state;
}

async function runOnce(code: string | undefined, isJson: boolean): Promise<number> {
  const client = await ControlClient.connect(program, {
    // Whoever reads JSON gets nothing else.
    output: isJson ? (_stream, bytes) => writeOutput('err', bytes) : writeOutput,
  });
  const session = new RemoteSession(() => client, isJson ? 'json' : 'text');
  // Nobody reads what it prints any more (`| head`): other programs are ended by SIGPIPE then.
  process.stdout.on('error', () => session.interrupt());
  const signals = interruptOnSignal(session);
  const script = code === undefined ? await buffer(process.stdin) : undefined;
  signals.hasBegun = true;
  const outcome = await (script === undefined ? session.evaluate(code ?? '') : session.run(script, 'stdin'));
  const status = conclude(isJson ? asLines(outcome) : outcome);
  client.close();
  return status;
}

/** Prints the log as it grows: until the user, or the daemon, ends. */
async function followLog(level: LogLevel): Promise<number> {
  const ended = deferred();
  const client = await ControlClient.connect(program, {
    log: ({ timeMs, level: found, text }) => {
      process.stdout.write(`${new Date(timeMs).toISOString()} ${found} ${text}\n`);
    },
    closed: (reason) => {
      process.stderr.write(`${program}: ${reason}\n`);
      ended.resolve();
    },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ended.resolve());
  // Nobody reads it any more: "| head".
  process.stdout.on('error', () => ended.resolve());
  await client.subscribeLog(level);
  await ended.promise;
  return exitStatus.success;
}

/** Runs the program; the exit status. */
export function runShell({ values, switches }: ParsedCommand): Promise<number> {
  surviveLostStreams();
  const level = values['follow-log'];
  if (level !== undefined && (values.execute !== undefined || switches.has('json'))) {
    throw new UsageError('follow-log shows the log and runs no code: it goes with neither --execute nor --json');
  }
  if (level !== undefined) return followLog(checkLevel('follow-log', level));
  const isJson = switches.has('json');
  const isPrompt = values.execute === undefined && !isJson && isInteractive();
  return isPrompt ? runPrompt() : runOnce(values.execute, isJson);
}
