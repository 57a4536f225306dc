// Counts the BPF objects of the driver xdp in the kernel, those that no descriptor of an engine shows as well.
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeFolder } from './files.ts';
import { projectFolder, run } from './programs.ts';

/** The name of the driver's programs and maps: native/ports/xdp/program.c. */
const objectName = 'packet_bricks';

/** Builds bpf_objects.c for the test `t`; the returned function counts, over all processes. */
export function makeBpfCount(t: TestContext): () => number {
  const file = join(makeFolder(t), 'bpf_objects');
  const source = join(projectFolder, 'test/support/bpf_objects.c');
  run('cc', ['-O1', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-o', file, source]);
  return () => Number(run(file, [objectName]));
}
