// Builds the C tests of this folder and runs each as a test. Continuous integration runs them under ASan, UBSan and TSan, too.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeNative } from '../support/native_build.ts';
import { projectFolder } from '../support/programs.ts';

const nativeFolder = join(projectFolder, 'native');
/** What a C test answers that cannot run here; it prints why. */
const skippedStatus = 77;

const names = readdirSync(join(projectFolder, 'test/native'))
  .filter((file) => /^test_.*\.c$/.test(file))
  .map((file) => file.replace('.c', ''));

test('C tests', async (t) => {
  const out = makeNative('tests');
  for (const name of names) {
    await t.test(name, (t) => {
      const run = spawnSync(join(out, name), { cwd: nativeFolder, encoding: 'utf8', timeout: 180_000 });
      if (run.status === skippedStatus) t.skip(run.stdout.trim() || run.stderr.trim());
      else assert.equal(run.status, 0, run.stdout + run.stderr);
    });
  }
});
