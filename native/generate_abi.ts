// Generates engine/abi.ts from include/packet_bricks.h: limits, the signatures of the control ABI,
// and the hash by which the loader knows that library and declarations agree.
// Run by `npm run abi`; a test holds the two together.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageRoot } from '../package_info.ts';

const headerFile = join(packageRoot, 'native/include/packet_bricks.h');
const abiFile = join(packageRoot, 'engine/abi.ts');

/** `PB_BATCH_PACKETS_MAX` → `batchPacketsMax`. */
function constantName(macro: string): string {
  return macro
    .slice(3)
    .toLowerCase()
    .replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The type that koffi knows for a C type: buffers cross as pointers, text as strings. */
function koffiType(c: string): string {
  if (/^const char \*$/.test(c)) return 'const char *';
  if (/\*$/.test(c)) return 'void *';
  return c;
}

/** The text of engine/abi.ts for the given header. */
export function generateAbi(header: string): string {
  const hash = createHash('sha256').update(header).digest('hex').slice(0, 16);
  const control = header.slice(header.indexOf('- control ABI'), header.indexOf('- pipe reader'));
  const limits = [...header.matchAll(/^#define (PB_\w+) (\d+)(?: +\/\* (.*?) \*\/)?$/gm)]
    .map(([, macro = '', value, text]) => `${text ? `  /** ${text} */\n` : ''}  ${constantName(macro)}: ${value},`)
    .join('\n');
  const functions = [...control.matchAll(/^PB_API ([\w ]+?[ *]+)(pb_\w+)\(([^)]*)\);/gm)]
    .map(([, result = '', name, list = '']) => {
      const parameters =
        list === 'void' ? [] : list.split(',').map((p) => /^(.*?[ *])\w+$/.exec(p.trim())?.[1]?.trim() ?? '');
      const types = parameters.map((type) => `'${koffiType(type)}'`).join(', ');
      return `  ${name}: { result: '${koffiType(result.trim())}', parameters: [${types}] },`;
    })
    .join('\n');
  return `// Generated from native/include/packet_bricks.h by \`npm run abi\`. Do not edit.

/** Hash of the header; pb_abi_hash() of a library that fits returns the same. */
export const abiHash = '${hash}';

/** The limits and constants of the header. */
export const abi = {
${limits}
} as const;

/** The control ABI, in koffi's types. */
export const abiFunctions = {
${functions}
} as const;
`;
}

/** The header as it is now. */
export function readHeader(): string {
  return readFileSync(headerFile, 'utf8');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(abiFile, generateAbi(readHeader()));
