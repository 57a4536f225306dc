// Real readers of pipes: `bricks-pipe NAME | tcpdump -r - -w FILE`, as a user would run them.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { nativeFilesFolder } from '../../engine/native.ts';
import { nativeFiles } from '../../native/build.ts';
import { type Packet, readCapture } from './capture.ts';
import { type Program, start } from './programs.ts';

/** The program bricks-pipe of the build under test. */
export const pipeProgram = join(nativeFilesFolder, nativeFiles.pipeProgram);

/** The program bricks-run of the build under test. */
export const runProgram = join(nativeFilesFolder, nativeFiles.runProgram);

/** An application at the end of a pipe. */
export interface Reader {
  readonly program: Program;
  readonly file: string;
  /** Waits for its end, which a pipe's end brings about, and reads what it wrote. */
  packets(): Promise<readonly Packet[]>;
}

/** Starts `bricks-pipe PIPE | tcpdump -r - -w FILE`. */
export function startReader(
  t: TestContext,
  pipe: string,
  file: string,
  runtimeFolder: string,
  nanosecond = true,
): Reader {
  const precision = nanosecond ? '--nano' : '--micro';
  const line = `"$0" "$1" | tcpdump ${precision} -n -U -r - -w "$2"`;
  const program = start(t, 'bash', ['-o', 'pipefail', '-c', line, pipeProgram, pipe, file], {
    env: { ...process.env, BRICKS_RUNTIME_DIR: runtimeFolder },
  });
  return {
    program,
    file,
    packets: async () => {
      const exit = await program.ended();
      assert.deepEqual(exit, { code: 0, signal: null }, `reader of ${pipe}: ${program.output()}`);
      return readCapture(file).packets;
    },
  };
}
