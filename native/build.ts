// Builds the native library, once for each state of its sources.
//
// Called by `npm run build` and, where no library is found, by engine/native.ts at first use.
// The output folder is named by a hash of sources and flags, is filled under another name and
// renamed, so that two processes that build at the same time cannot disturb each other.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import { packageRoot } from '../package_info.ts';

const nativeFolder = join(packageRoot, 'native');

/** What stands in the folder that {@link buildNative} returns. */
export const nativeFiles = {
  engine: 'libpacket_bricks.so',
  reader: 'libbricks-pipe.so',
  pipeProgram: 'bricks-pipe',
  extcapProgram: 'bricks-extcap',
  pcap: 'libbricks-pcap.so',
  runProgram: 'bricks-run',
} as const;

function sources(): string[] {
  const found: string[] = [join(nativeFolder, 'Makefile'), join(packageRoot, 'package.json')];
  const folders = ['include', 'core', 'engine', 'ports', 'pipe', 'libpcap', 'programs'].map((name) =>
    join(nativeFolder, name),
  );
  for (const folder of folders) {
    for (const file of readdirSync(folder)) if (/\.([ch]|map)$/.test(file)) found.push(join(folder, file));
  }
  const bricks = join(packageRoot, 'bricks');
  for (const folder of readdirSync(bricks, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue;
    for (const file of readdirSync(join(bricks, folder.name))) {
      if (/\.[ch]$/.test(file)) found.push(join(bricks, folder.name, file));
    }
  }
  return found.sort();
}

function buildName(): string {
  const hash = createHash('sha256');
  for (const file of sources()) hash.update(relative(packageRoot, file)).update('\0').update(readFileSync(file));
  for (const name of ['CC', 'CFLAGS', 'CPPFLAGS', 'LDFLAGS']) hash.update(`${name}=${process.env[name] ?? ''}\0`);
  return `${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}`;
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** The reason why the native library could not be built, with what to do about it. */
export class NativeBuildError extends Error {}

/**
 * Returns the folder that holds {@link nativeFiles}, building them if they are not there yet.
 *
 * The folder is `native/build/<name>` of the package, or where that cannot be written,
 * `$XDG_CACHE_HOME/packet-bricks/<name>` (default `~/.cache`).
 * Throws {@link NativeBuildError} when there is no compiler or it fails.
 */
export function buildNative(options: { log?: (line: string) => void } = {}): string {
  const name = buildName();
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'packet-bricks');
  const inPackage = join(nativeFolder, 'build');
  for (const parent of [inPackage, cache]) {
    if (existsSync(join(parent, name, nativeFiles.engine))) return join(parent, name);
  }
  const parent = isWritable(nativeFolder) ? inPackage : cache;
  try {
    mkdirSync(parent, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = 'set XDG_CACHE_HOME to a folder that can be written, or have its owner run "npm run build" in';
    throw new NativeBuildError(`the native library has no place to be built in (${reason}); ${remedy} ${packageRoot}`);
  }
  const temporary = join(parent, `${name}.${process.pid}`);
  options.log?.(`packet-bricks: building the native library in ${join(parent, name)}`);
  try {
    runMake(temporary);
    rmSync(join(temporary, 'o'), { recursive: true, force: true });
    try {
      renameSync(temporary, join(parent, name));
    } catch (error) {
      // Another process was first: its build is as good.
      if (!existsSync(join(parent, name, nativeFiles.engine))) throw error;
    }
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return join(parent, name);
}

function runMake(out: string): void {
  const run = spawnSync('make', ['-C', nativeFolder, '-j4', '--no-print-directory', `OUT=${out}`], {
    encoding: 'utf8',
  });
  if (run.error !== undefined) {
    throw new NativeBuildError(
      `the native library is not built and "make" cannot be run (${run.error.message}); install it: apt-get install gcc make libc6-dev`,
    );
  }
  if (run.status !== 0) {
    const missing = /: (cc|gcc): (not found|No such file)/.test(run.stderr + run.stdout);
    throw new NativeBuildError(
      missing
        ? 'the native library is not built and there is no C compiler; install one: apt-get install gcc make libc6-dev'
        : `the native library does not build:\n${run.stderr}`,
    );
  }
}
