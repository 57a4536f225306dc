// Builds the native library, once for each state of its sources.
//
// Called by `npm run build` and, where no library is found, by engine/native.ts at first use.
// The output folder is named by hashes of sources, flags and the libraries that modules of drivers need: where one is
// installed later, the next program builds anew. It is filled under another name and renamed, so that two processes that
// build at the same time cannot disturb each other.
import { spawnSync } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
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

const makefile = join(nativeFolder, 'Makefile');

function sources(): string[] {
  const found: string[] = [makefile, join(packageRoot, 'package.json')];
  const folders = ['include', 'core', 'engine', 'ports', 'pipe', 'libpcap', 'programs'].map((name) =>
    join(nativeFolder, name),
  );
  for (const folder of folders) {
    // Drivers of several files have folders in ports/.
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (/\.([ch]|map)$/.test(file)) found.push(join(folder, file));
    }
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

/** The libraries that modules of drivers need, with the versions of those that are installed. */
function libraries(): string {
  const lines = [...readFileSync(makefile, 'utf8').matchAll(/^packages_\w+ = (.*)$/gm)];
  const names = lines.flatMap(([, packages = '']) => packages.split(' '));
  const script = 'for name; do echo "$name $(pkg-config --modversion "$name" 2>/dev/null)"; done';
  return spawnSync('sh', ['-c', script, 'sh', ...names], { encoding: 'utf8' }).stdout;
}

const digest = (hash: Hash): string => hash.digest('hex').slice(0, 16);

/** What a build is named by: its sources and flags, and the libraries that its modules were made for. */
function buildName(): { readonly sources: string; readonly whole: string } {
  const hash = createHash('sha256');
  for (const file of sources()) hash.update(relative(packageRoot, file)).update('\0').update(readFileSync(file));
  for (const name of ['CC', 'CFLAGS', 'CPPFLAGS', 'LDFLAGS']) hash.update(`${name}=${process.env[name] ?? ''}\0`);
  const own = `${process.platform}-${process.arch}-${digest(hash)}`;
  return { sources: own, whole: `${own}-${digest(createHash('sha256').update(libraries()))}` };
}

/** A build of the same sources for other libraries: all but the modules of drivers is the same. */
function similarBuild(parents: readonly string[], sources: string): string | undefined {
  const folders = parents
    .filter((parent) => existsSync(parent))
    .flatMap((parent) =>
      readdirSync(parent)
        .filter((name) => name.startsWith(`${sources}-`) && !name.includes('.'))
        .map((name) => join(parent, name)),
    );
  return folders.find((folder) => existsSync(join(folder, nativeFiles.engine)));
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

/** Nothing is wrong with the sources: this machine, or this user, cannot build. */
class CannotBuild extends NativeBuildError {}

/**
 * Returns the folder that holds {@link nativeFiles}, building them if they are not there yet.
 *
 * The folder is `native/build/<name>` of the package, or where that cannot be written,
 * `$XDG_CACHE_HOME/packet-bricks/<name>` (default `~/.cache`).
 * Without a compiler, the one that came with the package is taken, whatever libraries it was made for. Throws
 * {@link NativeBuildError} when there is none, or when the compiler fails.
 */
export function buildNative(options: { log?: (line: string) => void } = {}): string {
  const name = buildName();
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'packet-bricks');
  const inPackage = join(nativeFolder, 'build');
  for (const parent of [inPackage, cache]) {
    if (existsSync(join(parent, name.whole, nativeFiles.engine))) return join(parent, name.whole);
  }
  try {
    return build(isWritable(nativeFolder) ? inPackage : cache, name.whole, options.log);
  } catch (error) {
    const similar = error instanceof CannotBuild ? similarBuild([inPackage, cache], name.sources) : undefined;
    if (similar === undefined) throw error;
    return similar;
  }
}

/** Builds the folder `name` in `parent`. */
function build(parent: string, name: string, log?: (line: string) => void): string {
  try {
    mkdirSync(parent, { recursive: true });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = 'set XDG_CACHE_HOME to a folder that can be written, or have its owner run "npm run build" in';
    throw new CannotBuild(`the native library has no place to be built in (${reason}); ${remedy} ${packageRoot}`);
  }
  const temporary = join(parent, `${name}.${process.pid}`);
  log?.(`packet-bricks: building the native library in ${join(parent, name)}`);
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
    throw new CannotBuild(
      `the native library is not built and "make" cannot be run (${run.error.message}); install it: apt-get install gcc make libc6-dev`,
    );
  }
  if (run.status !== 0) {
    const missing = /: (cc|gcc): (not found|No such file)/.test(run.stderr + run.stdout);
    if (missing) {
      throw new CannotBuild(
        'the native library is not built and there is no C compiler; install one: apt-get install gcc make libc6-dev',
      );
    }
    throw new NativeBuildError(`the native library does not build:\n${run.stderr}`);
  }
}
