// Places of drivers whose ports are interfaces: the test holds raw sockets at their outer ends.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { makeFolder } from '../files.ts';
import { connect, makeNamespace, type Namespace } from '../netns.ts';
import { frameBytes, type Place, wireCount } from './bed.ts';
import { RawWires } from './wires.ts';

const headerBytes = 14;
/** What the longest MTU of a veth leaves to a frame of which the receiver holds 65535 bytes. */
const mtuMax = 65535;

export const mtuOf = (bytes: number): number => Math.min(bytes - headerBytes, mtuMax);

/** What `ip` tells about an interface, as far as it must not change. */
interface LinkState {
  readonly ifname: string;
  readonly promiscuity: number;
  readonly xdp?: unknown;
}

/** Interfaces of a namespace that are not among `own`, or have something hanging on them. */
function strangeLinks(namespace: Namespace, own: RegExp): string[] {
  const links = JSON.parse(namespace.run('ip', '-json', '-details', 'link')) as LinkState[];
  return links
    .filter(({ ifname, promiscuity, xdp }) => !own.test(ifname) || promiscuity > 0 || xdp !== undefined)
    .map(({ ifname, promiscuity, xdp }) => `${ifname} promiscuity ${promiscuity} xdp ${JSON.stringify(xdp ?? null)}`);
}

/** How a driver names its ports on the interface. */
export type PortNaming = (interfaceName: string, role: 'input' | 'output', bytes: number, wire: number) => string;

/** What makes one driver's place differ from another's. */
export interface VethPlaceOptions {
  readonly port: PortNaming;
  /** The port's name in errors and statistics; the interface's unless said. */
  readonly name?: (interfaceName: string, wire: number) => string;
  readonly env?: NodeJS.ProcessEnv;
  /** What else an engine should not have left. */
  readonly leftovers?: () => string[];
  /** What is counted outside its process. */
  readonly held?: () => number;
}

/** The engine's interfaces are ends of veth pairs whose other ends are in another namespace. */
export class VethPlace implements Place {
  readonly engines: Place['engines'];
  readonly wires: RawWires;
  readonly inner: Namespace;
  readonly #outer: Namespace;
  readonly #options: VethPlaceOptions;
  readonly #mtus: Record<number, number> = {};
  readonly #down = new Set<number>();

  constructor(t: TestContext, options: VethPlaceOptions) {
    this.inner = makeNamespace(t, 'in');
    this.#outer = makeNamespace(t, 'out');
    this.#options = options;
    this.engines = { namespace: this.inner, runtimeFolder: makeFolder(t), env: options.env ?? {} };
    this.wires = new RawWires(t, this.#outer);
  }

  port(wire: number, role: 'input' | 'output', bytes = frameBytes): string {
    return this.#options.port(`in${wire}`, role, bytes, wire);
  }

  portName(wire: number): string {
    return this.#options.name?.(`in${wire}`, wire) ?? `in${wire}`;
  }

  async attach(wires: readonly number[], bytes?: number): Promise<void> {
    for (const wire of wires) {
      this.#ensure(wire);
      if (bytes !== undefined) this.#setMtu(wire, mtuOf(bytes));
      // A case that failed may have left it so.
      if (this.#down.has(wire)) await this.setLink(wire, true);
      await this.setPeer(wire, true);
    }
  }

  async limit(wire: number, bytes: number): Promise<void> {
    this.#setMtu(wire, mtuOf(bytes));
  }

  /** The pair, if it is not there. */
  #ensure(wire: number): void {
    if (this.#mtus[wire] !== undefined) return;
    this.#mtus[wire] = mtuOf(frameBytes);
    connect(this.#outer, `out${wire}`, this.inner, `in${wire}`, mtuOf(frameBytes));
  }

  #setMtu(wire: number, mtu: number): void {
    if (this.#mtus[wire] === mtu) return;
    this.#mtus[wire] = mtu;
    this.inner.run('ip', 'link', 'set', `in${wire}`, 'mtu', String(mtu));
    this.#outer.run('ip', 'link', 'set', `out${wire}`, 'mtu', String(mtu));
  }

  async detach(): Promise<void> {
    await this.wires.takeErrors();
  }

  async setPeers(isUp: boolean): Promise<void> {
    for (let wire = 0; wire < wireCount; wire++) await this.setPeer(wire, isUp);
  }

  async setPeer(wire: number, isUp: boolean): Promise<void> {
    this.#ensure(wire);
    this.#outer.run('ip', 'link', 'set', `out${wire}`, isUp ? 'up' : 'down');
    if (isUp) await this.wires.open(wire, `out${wire}`);
  }

  async setLink(wire: number, isUp: boolean): Promise<void> {
    this.inner.run('ip', 'link', 'set', `in${wire}`, isUp ? 'up' : 'down');
    if (isUp) this.#down.delete(wire);
    else this.#down.add(wire);
    // A socket says once that its interface was down.
    if (isUp) await this.wires.open(wire, `out${wire}`);
    await this.wires.takeErrors();
  }

  async remove(wire: number): Promise<void> {
    this.inner.run('ip', 'link', 'delete', `in${wire}`);
    delete this.#mtus[wire];
    await this.wires.takeErrors();
  }

  held(): number {
    return this.#options.held?.() ?? 0;
  }

  leftovers(): string[] {
    return [...strangeLinks(this.inner, /^(lo|in\d)$/), ...(this.#options.leftovers?.() ?? [])];
  }
}

/** How a driver makes an interface of its own. */
export interface OwnInterface {
  readonly port: PortNaming;
  /** Interface of the wire, at which the test is. */
  readonly name: (wire: number) => string;
  /** The engine's end, where that is another interface. */
  readonly inner?: (name: string) => string;
  /** Commands that make it, where the test comes first, and that remove it. */
  readonly make: (name: string, bytes: number) => string;
  readonly remove: (name: string) => string;
}

/** The driver creates its interfaces, whose outer ends are in the same namespace. */
export class OwnInterfacePlace implements Place {
  readonly engines: Place['engines'];
  readonly wires: RawWires;
  readonly #namespace: Namespace;
  readonly #own: OwnInterface;
  readonly #made = new Set<number>();

  constructor(t: TestContext, own: OwnInterface) {
    this.#namespace = makeNamespace(t, 'own');
    this.#own = own;
    this.engines = { namespace: this.#namespace, runtimeFolder: makeFolder(t) };
    this.wires = new RawWires(t, this.#namespace);
  }

  port(wire: number, role: 'input' | 'output', bytes = frameBytes): string {
    return this.#own.port(this.portName(wire), role, bytes, wire);
  }

  portName(wire: number): string {
    return this.#own.name(wire);
  }

  async attach(wires: readonly number[], bytes = frameBytes): Promise<void> {
    const present = this.#interfaces();
    for (const wire of wires) {
      const name = this.portName(wire);
      if (!present.includes(name)) {
        this.#made.add(wire);
        this.#namespace.run('sh', '-ec', this.#own.make(name, bytes));
      }
      await this.wires.open(wire, name);
    }
  }

  async detach(wires: readonly number[], isKilled = false): Promise<void> {
    for (const wire of wires) {
      const name = this.portName(wire);
      // A killed engine cannot remove a pair that it made; the next one uses it.
      const isLeft = isKilled && this.#interfaces().includes(name);
      if (this.#made.delete(wire) || isLeft) this.#namespace.run('sh', '-ec', this.#own.remove(name));
      assert.ok(!this.#interfaces().includes(name), `${name} is gone with its engine`);
    }
    await this.wires.takeErrors();
  }

  async setLink(wire: number, isUp: boolean): Promise<void> {
    const name = this.portName(wire);
    this.#namespace.run('ip', 'link', 'set', this.#own.inner?.(name) ?? name, isUp ? 'up' : 'down');
    if (isUp) await this.wires.open(wire, name);
    await this.wires.takeErrors();
  }

  async remove(wire: number): Promise<void> {
    this.#namespace.run('ip', 'link', 'delete', this.portName(wire));
    this.#made.delete(wire);
    await this.wires.takeErrors();
  }

  leftovers(): string[] {
    return strangeLinks(this.#namespace, /^lo$/);
  }

  #interfaces(): string[] {
    return this.#namespace.run('sh', '-c', 'ls /sys/class/net').split('\n');
  }
}
