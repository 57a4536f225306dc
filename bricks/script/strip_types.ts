// TypeScript without its types: what is left is JavaScript, line for line and column for column.
//
// module.ts registers this file as a loader of Node, which then calls load() for every module, on a thread of its own.
// The parser is loaded with the first file that needs it.
import { readFileSync } from 'node:fs';
import type { LoadHook } from 'node:module';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

type Parser = typeof import('@swc/wasm-typescript');
const require = createRequire(import.meta.url);

/** A file that is no TypeScript; the message begins with its name and line. */
export class SyntaxFailure extends SyntaxError {
  override readonly name = 'SyntaxError';
}

/** The JavaScript of a file's source. Throws {@link SyntaxFailure}. */
export function stripTypes(source: string, file: string): string {
  const { transformSync } = require('@swc/wasm-typescript') as Parser;
  try {
    return transformSync(source, { mode: 'strip-only', filename: file }).code;
  } catch (error) {
    if (error instanceof Error) throw error;
    const { message, startLine } = error as { message?: string; startLine?: number };
    throw new SyntaxFailure(`${file}${startLine === undefined ? '' : `:${startLine}`}: ${message ?? String(error)}`);
  }
}

/** Node's hook: takes files in TypeScript, and passes on all others. */
export const load: LoadHook = (url, context, nextLoad) => {
  if (!url.startsWith('file:') || !/\.m?ts$/.test(url)) return nextLoad(url, context);
  const file = fileURLToPath(url);
  return { format: 'module', shortCircuit: true, source: stripTypes(readFileSync(file, 'utf8'), file) };
};
