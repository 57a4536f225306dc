// Network namespaces and veth pairs for live tests: unique names, removed also when a test fails.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { run, skipWithout } from './programs.ts';

/** Every namespace that this process makes begins so. */
export const namespacePrefix = `pbt${process.pid}-`;

let made = 0;

/** A namespace of this test. */
export interface Namespace {
  readonly name: string;
  /** A command line that runs inside: `spawn(...inside('ip', 'link'))`. */
  inside(...command: string[]): { command: string; args: string[] };
  /** Runs a program inside to its end; returns its standard output. */
  run(command: string, ...args: string[]): string;
}

/** Why live tests cannot run here, or false. */
export function skipLive(...programs: readonly string[]): string | false {
  if (process.getuid?.() !== 0) return 'needs root: network namespaces and raw sockets';
  const missing = skipWithout('ip', ...programs);
  if (missing !== false) return missing;
  const probe = spawnSync('unshare', ['--net', 'true']);
  return probe.status === 0 ? false : 'network namespaces cannot be made here';
}

/** Makes a namespace without stray traffic (no IPv6 autoconfiguration); it goes when the test `t` is over. */
export function makeNamespace(t: TestContext, label: string): Namespace {
  const name = `${namespacePrefix}${++made}-${label}`;
  run('ip', ['netns', 'add', name]);
  t.after(() => removeNamespace(name));
  const inside = (...command: string[]): { command: string; args: string[] } => ({
    command: 'ip',
    args: ['netns', 'exec', name, ...command],
  });
  const namespace: Namespace = {
    name,
    inside,
    run: (command, ...args) => run('ip', inside(command, ...args).args),
  };
  const quiet = 'for k in all default; do echo 1 >/proc/sys/net/ipv6/conf/$k/disable_ipv6; done';
  namespace.run('sh', '-c', `${quiet}; ip link set lo up`);
  return namespace;
}

function removeNamespace(name: string): void {
  spawnSync('ip', ['netns', 'del', name]);
}

/** A veth pair: `interface` in `one`, `peer` in `other`, both up. */
export function connect(one: Namespace, interfaceName: string, other: Namespace, peerName: string, mtu = 1500): void {
  one.run(
    'ip',
    'link',
    'add',
    interfaceName,
    'mtu',
    String(mtu),
    'type',
    'veth',
    'peer',
    'name',
    peerName,
    'mtu',
    String(mtu),
    'netns',
    other.name,
  );
  for (const [namespace, name] of [
    [one, interfaceName],
    [other, peerName],
  ] as const) {
    namespace.run('sh', '-c', `ip link set ${name} arp off multicast off; ip link set ${name} up`);
  }
}

// The last resort, should the test runner end this process between a test and its clean-up.
process.on('exit', () => {
  if (made === 0) return;
  for (const name of readdirSync('/run/netns')) if (name.startsWith(namespacePrefix)) removeNamespace(name);
});
