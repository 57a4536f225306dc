// What tests of netmap ports need where there is no netmap module: programs in front of whose system calls the stand-in
// of test/support/netmap answers. The library under test is not told.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Packet, parseCapture } from './capture.ts';
import { makeFolder } from './files.ts';
import type { Namespace } from './netns.ts';
import { type Exit, type Program, projectFolder, start } from './programs.ts';

const out = join(projectFolder, 'native/build/check');
const application = join(out, 'netmap-app');

/** A stand-in's kernel side, and applications of it. */
export interface NetmapBed {
  /** A command that runs the rest with netmap. */
  readonly prefix: readonly string[];
  /** Starts an application (rx NAME, tx NAME, forward FROM TO) and waits until its ports are registered. */
  application(namespace: Namespace, options: readonly string[], input?: string): Promise<Application>;
  /** Fails if a rule of netmap's interface was broken, a buffer lost, a ring left unsound. */
  assertRulesKept(): void;
}

/** A running application. */
export interface Application {
  readonly program: Program;
  /** What it has received; waits for its end. */
  received(): Promise<readonly Packet[]>;
  /** Tells it to end. */
  interrupt(): Promise<Exit>;
}

/** Builds the stand-in and makes a bed; the settings are those of its NETMAP_STAND_IN_ variables. */
export function makeNetmapBed(t: TestContext, settings: Readonly<Record<string, number>> = {}): NetmapBed {
  const make = spawnSync('make', ['-C', join(projectFolder, 'native'), '-s', '-j2', 'OUT=build/check', 'stand-in'], {
    encoding: 'utf8',
  });
  assert.equal(make.status, 0, make.stderr);
  const folder = makeFolder(t);
  const prefix = [
    'env',
    `LD_PRELOAD=${join(out, 'libnetmap-stand-in.so')}`,
    `NETMAP_STAND_IN=${folder}`,
    ...Object.entries(settings).map(([name, value]) => `NETMAP_STAND_IN_${name}=${value}`),
  ];
  let applications = 0;
  return {
    prefix,
    application: async (namespace, options, input) => {
      const file = join(folder, `received${++applications}.pcap`);
      const { command, args } = namespace.inside(...prefix, application, ...options);
      const stdout = openSync(file, 'w');
      const stdin = input === undefined ? undefined : openSync(input, 'r');
      const program = start(t, command, args, { stdio: [stdin ?? 'ignore', stdout, 'pipe'] });
      closeSync(stdout);
      if (stdin !== undefined) closeSync(stdin);
      await program.until(/ready/);
      return {
        program,
        received: async () => {
          await program.ended();
          return parseCapture(readFileSync(file)).packets;
        },
        interrupt: () => program.interrupt(),
      };
    },
    assertRulesKept: () => {
      // Applications that were killed leave their descriptors to be found by the next that opens the device.
      const probe = spawnSync(prefix[0] ?? '', [...prefix.slice(1), application, 'probe'], { encoding: 'utf8' });
      assert.equal(probe.status, 0, probe.stderr);
      const violations = join(folder, 'violations');
      assert.equal(existsSync(violations) ? readFileSync(violations, 'utf8') : '', '');
    },
  };
}
