// Loads a script in JavaScript or TypeScript: a module whose default export is called with each batch.
//
// Called by shell/bricks_script.ts. The script runs in that process, with all that Node has.
import { register } from 'node:module';
import { extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BricksError } from '../../engine/errors.ts';
import type { ScriptFunctions } from './host.ts';
import type { ScriptBatch } from './script_batch.ts';
import { scriptFailure } from './script_failure.ts';

type Exports = Readonly<Record<string, unknown>>;

/** Calls that fail as the script's failures do. */
async function call(file: string, f: () => unknown): Promise<void> {
  try {
    await f();
  } catch (error) {
    throw scriptFailure(file, error);
  }
}

function callable(file: string, exports: Exports): ScriptFunctions {
  const { default: process, finish } = exports;
  if (typeof process !== 'function' || (finish !== undefined && typeof finish !== 'function')) {
    const problem =
      typeof process === 'function' ? 'its export "finish" is no function' : 'it has no function as default';
    const hint = 'write: export default function (batch) { ... }, and if need be: export function finish() { ... }';
    throw BricksError.of('SCRIPT_USELESS', { file, problem, hint });
  }
  return {
    process(batch: ScriptBatch) {
      // Nearly every script is synchronous: then nothing is awaited.
      try {
        const result: unknown = process(batch);
        return result instanceof Promise ? call(file, () => result) : undefined;
      } catch (error) {
        throw scriptFailure(file, error);
      }
    },
    ...(finish !== undefined && { finish: () => call(file, () => finish()) }),
  };
}

/** Loads the script. Rejects with ScriptFailure, or BricksError where it exports no function. */
export async function loadModule(file: string): Promise<ScriptFunctions> {
  const extension = extname(fileURLToPath(import.meta.url));
  if (/\.m?ts$/.test(file)) register(new URL(`./strip_types${extension}`, import.meta.url));
  let exports: Exports = {};
  await call(file, async () => {
    exports = (await import(pathToFileURL(resolve(file)).href)) as Exports;
  });
  // What a CommonJS module exports is the default of its namespace, all of it.
  const whole = exports.default;
  const isWhole = typeof whole === 'object' && whole !== null && 'default' in whole;
  return callable(file, isWhole ? (whole as Exports) : exports);
}
