// What a script did wrong, in one line that begins with the place: "count.ts:12: TypeError: x is undefined".
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { SyntaxFailure, stripTypes } from './strip_types.ts';

/** The failure of a script; its message begins with file and line, as far as they are known. */
export class ScriptFailure extends Error {}

/** The line of `file` that stands first in a stack. */
function lineIn(stack: string, file: string): string | undefined {
  const path = resolve(file);
  for (const name of [pathToFileURL(path).href, path]) {
    const at = stack.indexOf(`${name}:`);
    const [, line] = /^(\d+)/.exec(at < 0 ? '' : stack.slice(at + name.length + 1)) ?? [];
    if (line !== undefined) return line;
  }
  return undefined;
}

/** Whether an exception passed through the script: then it is the script's own. */
export function isFrom(file: string, error: unknown): boolean {
  return error instanceof Error && lineIn(error.stack ?? '', file) !== undefined;
}

/** Node keeps the place of a syntax error to itself: parsed again, the file tells it. */
function syntaxFailure(file: string): ScriptFailure | undefined {
  try {
    stripTypes(readFileSync(file, 'utf8'), file);
  } catch (error) {
    if (error instanceof SyntaxFailure) return new ScriptFailure(error.message);
  }
  return undefined;
}

/** What a script in JavaScript or TypeScript threw, as its failure. */
export function scriptFailure(file: string, error: unknown): ScriptFailure {
  if (!(error instanceof Error)) return new ScriptFailure(`${file}: threw ${String(error)}`);
  const [message = ''] = error.message.split('\n');
  const line = lineIn(error.stack ?? '', file);
  const syntax = line === undefined || error instanceof SyntaxError ? syntaxFailure(file) : undefined;
  if (syntax !== undefined) return syntax;
  return new ScriptFailure(`${file}${line === undefined ? '' : `:${line}`}: ${error.name}: ${message}`);
}
