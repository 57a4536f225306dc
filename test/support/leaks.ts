// Fails a test that leaves something behind: descriptors, engine threads, child processes, namespaces of this
// process, shared memory, files in the runtime directory.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { namespacePrefix } from './netns.ts';

/** What a process holds, each list sorted. */
export interface Holdings {
  readonly fds: readonly string[];
  readonly threads: readonly string[];
  readonly children: readonly string[];
  readonly namespaces: readonly string[];
  readonly sharedMemory: readonly string[];
  readonly runtimeFiles: readonly string[];
}

function list(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Sockets, locks, anything but the folders themselves. */
function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

function tryRead(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function present(values: readonly (string | undefined)[]): string[] {
  return values.filter((value) => value !== undefined).sort();
}

/** What this process holds now. */
export function holdings(): Holdings {
  const tasks = list('/proc/self/task');
  // A socket or pipe is named by its inode, which is another one each time: its kind is enough.
  const fds = list('/proc/self/fd').map((fd) =>
    tryRead(() => readlinkSync(`/proc/self/fd/${fd}`).replace(/:\[\d+\]$/, '')),
  );
  const children = tasks.flatMap((task) =>
    (tryRead(() => readFileSync(`/proc/self/task/${task}/children`, 'utf8')) ?? '').split(' '),
  );
  const runtime = process.env.BRICKS_RUNTIME_DIR;
  return {
    fds: present(fds.filter((target) => target !== undefined && !target.startsWith('/proc/'))),
    threads: present(tasks.map((task) => tryRead(() => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim()))),
    children: children.filter((pid) => pid !== '').sort(),
    namespaces: list('/run/netns')
      .filter((name) => name.startsWith(namespacePrefix))
      .sort(),
    sharedMemory: list('/dev/shm')
      .filter((name) => /brick|^pb/i.test(name))
      .sort(),
    runtimeFiles: runtime === undefined ? [] : filesBelow(runtime).sort(),
  };
}

/** What a process holds, and what is held for it, for loops that must not add to it. */
export interface Held {
  readonly fds: readonly string[];
  readonly threads: readonly string[];
  /** Files in the runtime directory, and shared memory by name. */
  readonly files: readonly string[];
  /** Sockets of the network namespace, by their kind, whoever holds them; none where the namespace is everybody's. */
  readonly sockets: readonly string[];
  /** Lines of the memory map: a mapping has no name of its own. */
  readonly mappings: number;
  readonly mappedBytes: number;
  /** Of these, what is in memory. */
  readonly residentBytes: number;
  readonly hugeBytes: number;
}

/** Tables of sockets in /proc/self/net: a line for each, below a heading. */
const socketTables = ['netlink', 'packet', 'raw', 'tcp', 'udp', 'unix'];

function socketsOfNamespace(): string[] {
  const [own, everybodys] = ['self', '1'].map((pid) => tryRead(() => readlinkSync(`/proc/${pid}/ns/net`)));
  if (everybodys === undefined || own === everybodys) return [];
  const kinds = socketTables.flatMap((kind) => {
    const lines = (tryRead(() => readFileSync(`/proc/self/net/${kind}`, 'utf8')) ?? '').trimEnd().split('\n');
    return lines.slice(1).map(() => kind);
  });
  const xdp = spawnSync('ss', ['--no-header', '--all', '--xdp'], { encoding: 'utf8' }).stdout ?? '';
  return [...kinds, ...xdp.split('\n').flatMap((line) => (line === '' ? [] : ['xdp']))];
}

/** A row of /proc/self/status, in bytes. */
function statusBytes(name: string): number {
  const row = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(row?.[1] ?? 0) * 1024;
}

setFlagsFromString('--expose_gc');
/** Collects this process's garbage: what grows then is no accident of its collector. */
export const collectGarbage = runInNewContext('gc') as () => void;

/** What this process holds now. */
export function heldByProcess(): Held {
  const { fds, threads, sharedMemory, runtimeFiles } = holdings();
  const sizes = readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [from, to] = (line.split(' ')[0] ?? '').split('-').map((address) => Number.parseInt(address, 16));
      return from === undefined || to === undefined ? [] : to - from;
    });
  return {
    fds,
    threads,
    files: [...sharedMemory, ...runtimeFiles],
    sockets: socketsOfNamespace(),
    mappings: sizes.length,
    mappedBytes: sizes.reduce((sum, size) => sum + size, 0),
    residentBytes: statusBytes('VmRSS'),
    hugeBytes: statusBytes('HugetlbPages'),
  };
}

/** `after` without what `before` had. */
export function added(before: readonly string[], after: readonly string[]): string[] {
  const left = [...before];
  return after.filter((value) => {
    const at = left.indexOf(value);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/** Node starts its own workers when it likes; engines and pipes name their threads otherwise. */
export function ourThreads(names: readonly string[]): string[] {
  return names.filter((name) => !/^(node|libuv-worker|V8|DelayedTask|SignalInspector)/.test(name));
}

function leaked(before: Holdings): Record<string, string[]> {
  const now = holdings();
  const leaks: Record<string, string[]> = {};
  for (const kind of Object.keys(before) as (keyof Holdings)[]) {
    const more = kind === 'threads' ? ourThreads(added(before[kind], now[kind])) : added(before[kind], now[kind]);
    if (more.length > 0) leaks[kind] = more;
  }
  return leaks;
}

/** Remembers what is held now; the returned function fails when more is held then. Ends are given 30 s to show. */
export function watchLeaks(): () => Promise<void> {
  const before = holdings();
  return async () => {
    const end = performance.now() + 30_000;
    while (Object.keys(leaked(before)).length > 0 && performance.now() < end) await delay(50);
    assert.deepEqual(leaked(before), {}, 'left behind');
  };
}
