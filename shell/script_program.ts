// What bricks-script does: loads the script by its language, carries packets through it, ends with finish().
import { constants } from 'node:os';
import { extname } from 'node:path';
import { runScript, type ScriptFunctions } from '../bricks/script/host.ts';
import { isFrom, ScriptFailure, scriptFailure } from '../bricks/script/script_failure.ts';
import { abi } from '../engine/abi.ts';
import { companionOf } from '../engine/companion.ts';
import { BricksError } from '../engine/errors.ts';
import { parentFollow } from '../engine/native.ts';
import { exitStatus, type ParsedCommand, UsageError } from './command/options.ts';
import { onEndingSignals } from './ending_signals.ts';
import { readScript } from './engines.ts';

function outputsOf(text: string | undefined): number {
  const outputs = Number(text ?? 1);
  if (text === undefined || (/^\d+$/.test(text) && outputs >= 1 && outputs < abi.outputsMax)) return outputs;
  throw new UsageError(`outputs: "${text}" is not a whole number from 1 to ${abi.outputsMax - 1}`);
}

function fail(text: string): number {
  process.stderr.write(`bricks-script: ${text}\n`);
  return exitStatus.failure;
}

/** A script may also throw from a timer, or in a promise that nobody awaits. */
function watchForFailures(file: string): void {
  process.once('uncaughtException', (error) => {
    if (!isFrom(file, error)) throw error;
    process.exit(fail(scriptFailure(file, error).message));
  });
}

/** Loads the script with the language that its name says. */
async function load(given: string, argument: string | undefined): Promise<ScriptFunctions> {
  const { name, source } = readScript(given);
  switch (extname(name)) {
    case '.lua':
      return (await import('../lua/script.ts')).loadLua(name, source, argument);
    case '.js':
    case '.mjs':
    case '.cjs':
    case '.ts':
    case '.mts': {
      watchForFailures(name);
      process.argv = [process.argv0, name, ...(argument === undefined ? [] : [argument])];
      return (await import('../bricks/script/module.ts')).loadModule(name);
    }
    default: {
      const hint = 'name it .lua, .js, .mjs, .cjs, .ts or .mts';
      throw BricksError.of('SCRIPT_USELESS', { file: name, problem: 'its name does not say its language', hint });
    }
  }
}

/** The brick Script's program ends with its engine's process, however that ends. */
function followEngine(): void {
  const engine = process.env[companionOf];
  delete process.env[companionOf];
  if (engine !== undefined) parentFollow(Number(engine));
}

/** Resolves with the exit status. */
export async function runScriptProgram({ values, switches, positionals }: ParsedCommand): Promise<number> {
  const { from, to } = values;
  const [file = '', argument] = positionals;
  if (from === undefined) throw new UsageError("option '--from' is missing: the pipe that packets come from");
  const outputs = outputsOf(values.outputs);
  followEngine();
  const ending = new AbortController();
  onEndingSignals(['SIGTERM', 'SIGINT'], (name, isFirst) => {
    ending.abort();
    // A second one ends a script that does not come to its end.
    if (!isFirst) process.exit(128 + constants.signals[name]);
  });
  try {
    const script = await load(file, argument);
    await runScript(script, { from, to, outputs, wait: switches.has('wait') }, ending.signal);
  } catch (error) {
    if (error instanceof ScriptFailure) return fail(error.message);
    // Of a pipe: the script was read before.
    if (!(error instanceof BricksError) || error.code !== 'ENOENT') throw error;
    return fail(`${error.message}; use --wait to wait for it`);
  }
  return exitStatus.success;
}
