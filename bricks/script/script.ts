// Script: packets visit a script in Lua, JavaScript or TypeScript, which says where they go. See README.md.
import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abi } from '../../engine/abi.ts';
import { BricksError } from '../../engine/errors.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

/** The program beside the engine: from the sources it needs their loader, from dist/ nothing. */
function hostCommand(memoryMb: number): [string, ...string[]] {
  const extension = extname(fileURLToPath(import.meta.url));
  const program = fileURLToPath(new URL(`../../shell/bricks_script${extension}`, import.meta.url));
  const memory = `--max-old-space-size=${memoryMb}`;
  return [process.execPath, memory, ...(extension === '.ts' ? ['--import', import.meta.resolve('tsx')] : []), program];
}

export const descriptor: BrickDescriptor = {
  name: 'Script',
  text: 'shows packets to a script in Lua, JavaScript or TypeScript, which chooses outputs, drops or changes them',
  options: {
    file: { type: 'string', default: '', text: 'the script: its name ends in .lua, .js, .mjs, .cjs, .ts or .mts' },
    argument: { type: 'string', default: '', text: 'handed to the script, for it to make of it what it likes' },
    slots: {
      type: 'integer',
      default: 512,
      min: abi.bufferSlotsMin,
      max: abi.bufferSlotsMax,
      text: 'size of each of the two pipes between engine and script, in slots of 2048 bytes',
    },
    memory_mb: {
      type: 'integer',
      default: 512,
      min: 32,
      max: 65536,
      text: 'memory that the script may have, MiB; one that wants more has failed',
    },
    restart: { type: 'boolean', default: true, text: '1: a script that has failed is started anew, a few times' },
  },
  argument: 'file',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax - 1 },
  companion: {
    pipeOptions: (options) => [`slots=${options.slots}`],
    command(options, pipes, outputs) {
      const file = String(options.file);
      if (!existsSync(file)) {
        const problem = file === '' ? 'none is given' : 'there is no such file';
        throw BricksError.of('SCRIPT_UNREADABLE', { file: `"${file}" of brick "Script"`, problem });
      }
      const ports = ['--from', pipes.from, '--to', pipes.to, '--outputs', String(outputs)];
      const argument = String(options.argument);
      return [...hostCommand(Number(options.memory_mb)), ...ports, file, ...(argument === '' ? [] : [argument])];
    },
    restarts: (options) => options.restart === true,
  },
  pack: () => new Uint8Array(),
};
