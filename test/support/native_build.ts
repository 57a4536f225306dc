// Builds C of tests: into one folder for all of them, one build at a time.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from './programs.ts';

const nativeFolder = join(projectFolder, 'native');

/** Makes a target of native/Makefile; returns the folder that it is in. */
export function makeNative(target: string): string {
  const out = join(nativeFolder, 'build/check');
  mkdirSync(out, { recursive: true });
  // Test files run at the same time.
  const args = [join(out, 'lock'), 'make', '-C', nativeFolder, '-s', '-j2', `OUT=${out}`, target];
  const make = spawnSync('flock', args, { encoding: 'utf8' });
  assert.equal(make.status, 0, make.stderr);
  return out;
}
