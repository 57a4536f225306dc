// Runs chunks of Lua for tests and collects what they print.
import { Interpreter } from '../../lua/interpreter.ts';
import type { Outcome, Output, ResultFormat, Task } from '../../lua/scheduler.ts';

/** A chunk that was started. */
export interface Run {
  readonly task: Task;
  /** What it printed so far. */
  readonly text: () => string;
  readonly outcome: Promise<Outcome>;
}

/** How a chunk is started. */
export interface RunOptions {
  /** What messages call it. */
  readonly name?: string;
  readonly format?: ResultFormat;
  /** Whether it has to wait for whoever reads what it prints. */
  readonly room?: () => Promise<void> | undefined;
}

/** Starts a chunk; throws when it does not compile. */
export function startLua(source: string, interpreter = new Interpreter(), options: RunOptions = {}): Run {
  const compiled = interpreter.compile(source, options.name ?? 'test.lua');
  if (compiled.kind !== 'compiled') throw new Error(compiled.message);
  const chunks: Uint8Array[] = [];
  const out = (bytes: Uint8Array): void => {
    chunks.push(Buffer.from(bytes));
  };
  const output: Output = { out, err: out, ...(options.room !== undefined && { room: options.room }) };
  const task = compiled.start(output, options.format);
  return { task, text: () => Buffer.concat(chunks).toString(), outcome: task.outcome };
}

/** Runs a chunk that has to succeed; returns what it printed. */
export async function runLua(source: string, interpreter = new Interpreter()): Promise<string> {
  const run = startLua(source, interpreter);
  const outcome = await run.outcome;
  if (outcome.kind !== 'done') throw new Error(`the chunk ended with ${JSON.stringify(outcome)}`);
  return run.text();
}

/** Runs a chunk that has to succeed; returns the texts of its values. */
export async function valuesOf(
  source: string,
  format: ResultFormat,
  interpreter = new Interpreter(),
): Promise<string[]> {
  const outcome = await startLua(source, interpreter, { format }).outcome;
  if (outcome.kind !== 'done') throw new Error(`the chunk ended with ${JSON.stringify(outcome)}`);
  return outcome.values.map((value) => value.text);
}

/** Runs a chunk that has to fail; returns the message. */
export async function failLua(source: string, interpreter = new Interpreter()): Promise<string> {
  const outcome = await startLua(source, interpreter).outcome;
  if (outcome.kind !== 'error') throw new Error(`the chunk ended with ${JSON.stringify(outcome)}`);
  return outcome.message;
}
