// The README's first command, as a stranger would give it: a fresh copy of the repository, no root, `npm ci && npm start`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { test } from 'node:test';
import { makeFolder } from './support/files.ts';
import { projectFolder, start } from './support/programs.ts';

/** An unprivileged user of every Debian system. */
const nobody = 65534;

test('npm ci && npm start runs the demo in a fresh copy, without root', async (t) => {
  const folder = makeFolder(t);
  execFileSync('sh', ['-c', 'git ls-files -co --exclude-standard -z | xargs -0 cp --parents -t "$0"', folder], {
    cwd: projectFolder,
  });
  const isRoot = process.getuid?.() === 0;
  if (isRoot) execFileSync('chown', ['-R', String(nobody), folder]);
  chmodSync(folder, 0o755);
  const user = isRoot ? { uid: nobody, gid: nobody } : {};
  // Not what npm, if it runs this test, tells its children; nor where pipes are.
  const isForeign = (name: string): boolean => /^npm_|^(XDG|BRICKS)_RUNTIME_DIR$/.test(name);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
  const program = start(t, 'sh', ['-c', 'npm ci && npm start'], {
    ...user,
    cwd: folder,
    env: { ...env, HOME: folder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = await program.exited;
  assert.equal(exit.code, 0, program.output());
  // 458 packets are in the capture (tcpdump -r test/fixtures/demo.pcap | wc -l); the split is printed and adds up.
  const shares = [...program.stdout().matchAll(/demo\}(\d)\D+(\d+) packets/g)].map((match) => Number(match[2]));
  assert.equal(shares.length, 4, program.output());
  assert.equal(
    shares.reduce((sum, share) => sum + share, 0),
    458,
  );
});
