// The example programs of native/examples, built as an application's author would: with the library of the build under test.
import { join } from 'node:path';
import { nativeFilesFolder } from '../../engine/native.ts';
import { nativeFiles } from '../../native/build.ts';
import { projectFolder, run } from './programs.ts';

/** Compiles `native/examples/NAME.c` into `folder`, with all warnings as errors; returns the program's path. */
export function buildExample(name: string, folder: string, compiler: readonly string[] = ['cc', '-std=c11']): string {
  const program = join(folder, name);
  const [command = 'cc', ...language] = compiler;
  const flags = ['-D_DEFAULT_SOURCE', '-Wall', '-Wextra', '-Werror', `-I${join(projectFolder, 'native/include')}`];
  const source = join(projectFolder, 'native/examples', `${name}.c`);
  const library = [`-L${nativeFilesFolder}`, `-Wl,-rpath,${nativeFilesFolder}`];
  const link = `-l${nativeFiles.reader.replace(/^lib|\.so$/g, '')}`;
  run(command, [...language, ...flags, source, '-x', 'none', ...library, link, '-o', program]);
  return program;
}
