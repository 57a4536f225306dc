// When the native library is built anew, and what is taken where it cannot be. In a copy of the sources, with a "make"
// that only says that it ran, and a pkg-config that knows the libraries of this test.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeFolder } from '../support/files.ts';
import { projectFolder, skipWithout } from '../support/programs.ts';

/** A copy of what is built, and a machine to build it on. */
class Machine {
  readonly folder: string;
  readonly #programs: string;
  readonly #packages: string;

  constructor(t: TestContext) {
    this.folder = makeFolder(t);
    this.#programs = makeFolder(t);
    this.#packages = makeFolder(t);
    const files = 'git ls-files -co --exclude-standard -z native bricks package.json package_info.ts';
    const copy = `${files} | xargs -0 cp --parents -t "$0"`;
    execFileSync('sh', ['-c', copy, this.folder], { cwd: projectFolder });
    for (const name of ['sh', 'pkg-config', 'expr', 'mkdir', 'touch'])
      symlinkSync(execFileSync('which', [name], { encoding: 'utf8' }).trim(), join(this.#programs, name));
  }

  installMake(): void {
    const make = join(this.#programs, 'make');
    const build = 'out=$(expr "$arg" : "OUT=\\(.*\\)") && mkdir -p "$out" && touch "$out/libpacket_bricks.so"';
    writeFileSync(make, `#!/bin/sh\nfor arg; do ${build}; done; true\n`);
    chmodSync(make, 0o755);
  }

  removeMake(): void {
    rmSync(join(this.#programs, 'make'));
  }

  install(library: string, version: string): void {
    const text = `Name: ${library}\nDescription: of this test\nVersion: ${version}\n`;
    writeFileSync(join(this.#packages, `${library}.pc`), text);
  }

  /** Builds; the name of the folder that the library is in, or what is wrong. */
  build(): { readonly name: string; readonly isNew: boolean; readonly error: string } {
    const code = `const { buildNative } = await import(${JSON.stringify(join(this.folder, 'native/build.ts'))});
      try { console.log(buildNative({ log: console.error })); } catch (error) { console.log('error: ' + error.message); }`;
    const env = {
      PATH: this.#programs,
      PKG_CONFIG_LIBDIR: this.#packages,
      XDG_CACHE_HOME: join(this.folder, 'cache'),
    };
    const args = ['--import', import.meta.resolve('tsx'), '--input-type=module', '-e', code];
    const { stdout, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8', cwd: this.folder });
    const [, error = ''] = /^error: (.*)/.exec(stdout) ?? [];
    return { name: error === '' ? basename(stdout.trim()) : '', isNew: /building/.test(stderr) && error === '', error };
  }
}

const skip = skipWithout('pkg-config', 'git');

test('a library that a module needs, installed later or in another version, makes another build', { skip }, (t) => {
  const machine = new Machine(t);
  machine.installMake();
  const without = machine.build();
  assert.ok(without.isNew, without.error);
  assert.deepEqual(machine.build(), { ...without, isNew: false });
  const names = new Set([without.name]);
  for (const [library, version] of [
    ['libxdp', '1.3.1'],
    ['libxdp', '1.4'],
    ['libbpf', '1.1'],
    ['libdpdk', '22.11.11'],
  ] as const) {
    machine.install(library, version);
    const built = machine.build();
    assert.ok(built.isNew, `${library} ${version}: ${built.error}`);
    names.add(built.name);
  }
  assert.equal(names.size, 5);
  machine.install('libfoo', '1');
  assert.equal(machine.build().isNew, false, 'a library that no module needs');
});

test("a source of a driver's module makes another build, as any other", { skip }, (t) => {
  const machine = new Machine(t);
  machine.installMake();
  const { name } = machine.build();
  mkdirSync(join(machine.folder, 'native/ports/test'));
  writeFileSync(join(machine.folder, 'native/ports/test/test.c'), '/* nothing */\n');
  const second = machine.build().name;
  appendFileSync(join(machine.folder, 'native/ports/test/test.c'), '\n');
  assert.equal(new Set([name, second, machine.build().name]).size, 3);
});

test('without a compiler, what was built for other libraries is taken, and nothing of other sources', { skip }, (t) => {
  const machine = new Machine(t);
  machine.installMake();
  const { name } = machine.build();
  machine.removeMake();
  machine.install('libdpdk', '23.11');
  assert.deepEqual(machine.build(), { name, isNew: true, error: '' });
  appendFileSync(join(machine.folder, 'native/core/error.c'), '\n');
  assert.match(machine.build().error, /not built and "make" cannot be run .*; install it: apt-get install gcc make/);
});

test('the modules that the Makefile knows are folders of ports/ with a table beside them', () => {
  const makefile = readFileSync(join(projectFolder, 'native/Makefile'), 'utf8');
  const [, modules = ''] = /^MODULES_ALL = (.*)$/m.exec(makefile) ?? [];
  assert.ok(modules.length > 0);
  for (const name of modules.split(' ')) {
    assert.match(makefile, new RegExp(`^packages_${name} = \\w`, 'm'));
    const hasModule = existsSync(join(projectFolder, 'native/ports', name));
    assert.equal(existsSync(join(projectFolder, `native/ports/${name}.c`)), hasModule, name);
  }
});
