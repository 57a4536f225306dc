// The place of the memif driver: dpdk-testpmd at the other end of its sockets, which carries frames to and from
// interfaces that the test holds.
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { makeFolder } from '../files.ts';
import { connect, makeNamespace, type Namespace } from '../netns.ts';
import { type Program, start } from '../programs.ts';
import { type Place, wireCount } from './bed.ts';
import { RawWires } from './wires.ts';

/** Room for jumbo frames, in memif's buffers and in testpmd's. */
const bufferBytes = 16384;
/** What DPDK keeps free before a packet, and a little more. */
const headroomBytes = 256;
const mtu = 9000;
/** So often in a suite. */
const panicsMax = 10;
const allWires: readonly number[] = Array.from({ length: wireCount }, (_, wire) => wire);

export class MemifPlace implements Place {
  readonly engines: Place['engines'];
  readonly wires: RawWires;
  readonly #t: TestContext;
  readonly #namespace: Namespace;
  readonly #folder: string;
  /** The engine's; testpmd has the other one. */
  readonly #role: 'server' | 'client';
  /** Those that the present engine uses: a client of memif wants to find its server. */
  #attached: readonly number[] = allWires;
  #testpmd: Program | undefined;
  #peersAreUp = false;
  #panics = 0;

  constructor(t: TestContext, role: 'server' | 'client') {
    this.#t = t;
    this.#role = role;
    this.#folder = makeFolder(t);
    this.#namespace = makeNamespace(t, 'memif');
    this.engines = { namespace: this.#namespace, runtimeFolder: makeFolder(t) };
    for (const wire of allWires) connect(this.#namespace, `out${wire}`, this.#namespace, `far${wire}`, mtu);
    this.wires = new RawWires(t, this.#namespace);
  }

  port(wire: number): string {
    return `memif:${this.portName(wire)}?role=${this.#role}&bsize=${bufferBytes}`;
  }

  portName(wire: number): string {
    return join(this.#folder, `${wire}.sock`);
  }

  async attach(wires: readonly number[]): Promise<void> {
    this.#attached = wires;
    await this.setPeers(true);
  }

  async detach(): Promise<void> {
    await this.setPeers(false);
    await this.wires.takeErrors();
  }

  async setPeers(isUp: boolean): Promise<void> {
    if (isUp === this.#peersAreUp) return;
    if (!isUp) {
      const leaving = this.#testpmd;
      this.#testpmd = undefined;
      this.#peersAreUp = false;
      // How it ends is its own affair: with its peer gone, it may well crash.
      await leaving?.interrupt();
      return;
    }
    this.#peersAreUp = true;
    await this.#startTestpmd();
    for (const wire of this.#attached) await this.wires.open(wire, `out${wire}`);
  }

  /** Starts testpmd, again where DPDK 22.11 itself ends it: when a socket is closed while its thread begins to wait for it. */
  async #startTestpmd(): Promise<void> {
    // A server that has crashed leaves its sockets, and the next one cannot make them.
    if (this.#role === 'client') for (const wire of allWires) rmSync(this.portName(wire), { force: true });
    const testpmd = start(this.#t, ...this.#command(), { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#testpmd = testpmd;
    const panicked = (): boolean => /PANIC in eal_intr_thread_main/.test(testpmd.output());
    const restarted = testpmd.exited.then(async () => {
      if (this.#testpmd === testpmd && panicked() && ++this.#panics <= panicsMax) await this.#startTestpmd();
    });
    try {
      await testpmd.until(/Press enter to exit/);
    } catch (error) {
      if (!panicked() || this.#panics > panicsMax) throw error;
      await restarted;
    }
  }

  #command(): [string, string[]] {
    const role = this.#role === 'server' ? `client,bsize=${bufferBytes}` : 'server';
    const devices = this.#attached.flatMap((wire) => [
      `--vdev=net_memif${wire},role=${role},socket=${this.portName(wire)},socket-abstract=no`,
      `--vdev=net_af_packet${wire},iface=far${wire},framesz=${bufferBytes},blocksz=65536,framecnt=512`,
    ]);
    const eal = ['--no-shconf', '--no-pci', '--no-huge', '-m', '256', '--lcores', '0,1'];
    const own = [
      '--forward-mode=io',
      '--auto-start',
      `--mbuf-size=${bufferBytes + headroomBytes}`,
      '--total-num-mbufs=4096',
    ];
    // Line by line: into a pipe what it says would stay in the C library's buffer.
    const line = ['stdbuf', '-oL', 'dpdk-testpmd', ...eal, ...devices, '--', ...own];
    const { command, args } = this.#namespace.inside(...line);
    return [command, args];
  }

  /** Sockets of a server that is gone; one that was killed could not remove them. */
  leftovers(isKilled = false): string[] {
    return this.#role === 'server' && !isKilled ? readdirSync(this.#folder) : [];
  }
}
