// Attaching to a pipe, at either end: waits until an engine serves it, and heeds an AbortSignal.
// Called by openPipe() (pipe.ts) and openPipeWriter() (writer.ts).
import { setTimeout as delay } from 'node:timers/promises';
import { BricksError } from '../errors.ts';
import { type ClientDirection, clientClose, clientOpen } from '../native.ts';
import { checkOptions, type OptionSchemas, type Options } from '../options.ts';

/** How often a pipe is looked for that is not there yet. */
const retryMs = 100;

/** How to attach. */
export interface OpenOptions {
  /** Wait until an engine serves the pipe, rather than fail with ENOENT. */
  readonly wait?: boolean;
  /** Ends the waiting, and later closes the pipe: what was awaited is rejected with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Checks the options of one end of a pipe: those that both ends have, and its own, in `schemas`. Returns its own. */
export function checkOpenOptions(name: string, schemas: OptionSchemas, options: OpenOptions): Options {
  const { wait, signal, ...own } = options;
  const given = `pipe "${name}"`;
  const option = Object.keys(own).find((key) => !Object.hasOwn(schemas, key));
  if (option !== undefined) {
    const have = ['wait', 'signal', ...Object.keys(schemas)].join(', ');
    throw BricksError.of('OPTION_UNKNOWN', { what: given, option, have });
  }
  return checkOptions(given, schemas, own);
}

function checkName(name: unknown): void {
  if (typeof name === 'string' && name !== '' && !name.includes('\0')) return;
  const problem = `${JSON.stringify(name) ?? typeof name} is no name of one`;
  throw BricksError.of('ARGUMENT_INVALID', { what: 'pipe', problem, hint: 'give one like "eth3}0"' });
}

/** Returns the handle of a client. */
export async function attach(name: string, direction: ClientDirection, options: OpenOptions): Promise<number> {
  checkName(name);
  for (;;) {
    options.signal?.throwIfAborted();
    let client: number;
    try {
      client = await clientOpen(name, direction);
    } catch (error) {
      if (options.wait !== true || !(error instanceof BricksError) || error.code !== 'ENOENT') throw error;
      await delay(retryMs, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(() => {});
      continue;
    }
    if (options.signal?.aborted !== true) return client;
    clientClose(client);
  }
}
