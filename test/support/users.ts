// Other users, for tests that run programs of this folder as one of them.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { projectFolder } from './programs.ts';

/** Why other users cannot run the programs of this folder, or false. Needs setpriv, and root. */
export function skipUnreadable(): string | false {
  const as = ['--reuid=64003', '--regid=64003', '--clear-groups'];
  const { status } = spawnSync('setpriv', [...as, 'test', '-r', join(projectFolder, 'index.ts')]);
  return status === 0 ? false : 'the project folder is not readable to other users';
}
