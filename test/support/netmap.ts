// A stand-in for /dev/netmap (support/netmap/README.md) for the programs of a test, and an application of netmap.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeFolder } from './files.ts';
import { type Program, projectFolder, run, start } from './programs.ts';

/** How the stand-in's machine is; what is left out has netmap's usual size. */
export interface NetmapMachine {
  /** Rings of a NIC, in each direction: 1 to 16. */
  readonly rings?: number;
  /** Slots of a ring whose size nobody asks for: 4 to 1024. */
  readonly slots?: number;
  /** Buffers of a memory. */
  readonly buffers?: number;
}

/** A machine with netmap, for the programs that get its environment. */
export interface NetmapStandIn {
  /** With the stand-in preloaded. */
  readonly env: Readonly<Record<string, string>>;
  /** The program netmap-app, with its arguments; inside a namespace where `inside` says so. */
  app(args: readonly string[], inside?: (...command: string[]) => { command: string; args: string[] }): Program;
  /** The path of netmap-app. */
  readonly appPath: string;
  /** Every rule of netmap that a program has broken, also by what it left behind. */
  violations(): string[];
}

/** Builds the stand-in and gives it a folder of its own, which goes when the test `t` is over. */
export function makeNetmapStandIn(t: TestContext, machine: NetmapMachine = {}): NetmapStandIn {
  const native = join(projectFolder, 'native');
  const out = join(native, 'build/stand-in');
  mkdirSync(out, { recursive: true });
  // Other test files build the same at the same time.
  run('flock', [join(out, 'lock'), 'make', '-C', native, '-s', '-j2', `OUT=${out}`, 'stand-in']);
  const folder = makeFolder(t);
  const appPath = join(out, 'netmap-app');
  const env: Record<string, string> = { LD_PRELOAD: join(out, 'libnetmap-stand-in.so'), NETMAP_STAND_IN: folder };
  for (const [name, value] of Object.entries(machine)) {
    if (value !== undefined) env[`NETMAP_STAND_IN_${name.toUpperCase()}`] = String(value);
  }
  const app: NetmapStandIn['app'] = (args, inside) => {
    const line = inside?.(appPath, ...args) ?? { command: appPath, args: [...args] };
    return start(t, line.command, line.args, { env: { ...process.env, ...env } });
  };
  const violations = (): string[] => {
    run('env', [...Object.entries(env).map(([name, value]) => `${name}=${value}`), appPath, 'probe']);
    const file = join(folder, 'violations');
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  };
  return { env, app, appPath, violations };
}

/** Fails with the rules that were broken. */
export function assertNoViolations(standIn: NetmapStandIn): void {
  assert.deepEqual(standIn.violations(), []);
}
