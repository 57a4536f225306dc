// Drives dpdk-testpmd, the peer of the benchmarks, through its command prompt.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { run } from './measure.ts';

const promptText = 'testpmd> ';

/** Why testpmd cannot run here, or undefined. Reserves huge pages where there are none. */
export function testpmdMissing(): string | undefined {
  if (!existsSync('/usr/bin/dpdk-testpmd')) return 'dpdk-testpmd is not installed (Debian: dpdk-dev)';
  if (process.getuid?.() !== 0) return 'dpdk-testpmd needs root for huge pages';
  const pages = '/proc/sys/vm/nr_hugepages';
  if (Number(readFileSync(pages, 'utf8')) < 512) writeFileSync(pages, '1024');
  if (Number(readFileSync(pages, 'utf8')) < 512) return 'no huge pages to be had';
  mkdirSync('/dev/hugepages', { recursive: true });
  if (!readFileSync('/proc/mounts', 'utf8').includes(' /dev/hugepages '))
    run('mount', ['-t', 'hugetlbfs', 'none', '/dev/hugepages']);
  return undefined;
}

/** A running testpmd with one port, main and worker thread on one processor. */
export class Testpmd {
  readonly #child: ChildProcessWithoutNullStreams;
  #output = '';
  #arrived: () => void = () => {};

  private constructor(command: readonly [string, ...string[]]) {
    const [program, ...args] = command;
    this.#child = spawn(program, args);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (data: Buffer) => {
        this.#output += data.toString();
        this.#arrived();
      });
    }
    // It may have ended, and be told something before that is known.
    this.#child.stdin.on('error', () => {});
    this.#child.on('close', () => {
      this.#output += `${promptText}ended`;
      this.#arrived();
    });
  }

  /** Starts it and waits for the prompt. `wrap` is a command to run it under, such as ip netns exec. */
  static async start(
    name: string,
    cpu: number,
    vdev: string,
    eal: readonly string[] = [],
    wrap: readonly string[] = [],
  ): Promise<Testpmd> {
    const base = [
      // Line by line: into a pipe its answers would stay in the C library's buffer.
      'stdbuf',
      '-oL',
      'dpdk-testpmd',
      '--lcores',
      `0@${cpu},1@${cpu}`,
      '--no-pci',
      `--file-prefix=bricks-${name}-${process.pid}`,
    ];
    const words = [...wrap, ...base, ...eal, `--vdev=${vdev}`, '--', '-i', '--total-num-mbufs=16384'];
    const testpmd = new Testpmd([words[0] ?? '', ...words.slice(1)]);
    await testpmd.#prompt();
    return testpmd;
  }

  async #prompt(): Promise<string> {
    while (!this.#output.includes(promptText)) {
      await new Promise<void>((done) => {
        this.#arrived = done;
      });
    }
    const at = this.#output.indexOf(promptText);
    const text = this.#output.slice(0, at);
    this.#output = this.#output.slice(at + promptText.length);
    if (this.#output.startsWith('ended')) throw new Error(`dpdk-testpmd ended: ${text.slice(-500)}`);
    return text;
  }

  /** Gives a command; returns what it printed. */
  async command(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    return this.#prompt();
  }

  async #packets(direction: 'RX' | 'TX'): Promise<{ packets: number; seconds: number }> {
    const text = await this.command('show port stats 0');
    const found = new RegExp(`${direction}-packets: (\\d+)`).exec(text);
    return { packets: Number(found?.[1]), seconds: performance.now() / 1000 };
  }

  /** Packets received so far, and when that was read. */
  received(): Promise<{ packets: number; seconds: number }> {
    return this.#packets('RX');
  }

  /** Packets sent so far, and when that was read. */
  sent(): Promise<{ packets: number; seconds: number }> {
    return this.#packets('TX');
  }

  /** Nanoseconds of processor time that it has taken. See proc_pid_stat(5). */
  processorNs(): number {
    const fields = readFileSync(`/proc/${this.#child.pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 1e7;
  }

  /** Packets that all of its ports have received so far. */
  async receivedByAll(): Promise<number> {
    const text = await this.command('show port stats all');
    return [...text.matchAll(/RX-packets: (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
  }

  /** Processor time that its worker thread has used so far. */
  processorSeconds(): number {
    const tasks = `/proc/${this.#child.pid}/task`;
    const worker = readdirSync(tasks).find((task) =>
      readFileSync(`${tasks}/${task}/comm`, 'utf8').startsWith('rte-worker'),
    );
    return Number(readFileSync(`${tasks}/${worker}/schedstat`, 'utf8').split(' ')[0]) / 1e9;
  }

  async quit(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((done) => this.#child.on('close', done));
    this.#child.stdin.write('stop\nquit\n');
    await ended;
  }
}
