// Runs bricks-top on the terminal it is started on, for top_terminal.test.ts: a feed that repeats snapshots of a file
// and obeys files in a folder, in place of a daemon.
//
// Arguments: the file of engine snapshots (JSON), the folder. Files in the folder are what the feed is to do: `lost`, the
// connection is; `still`, nothing moves; `quiet`, only the clock does. The program writes there `status` when it ends,
// `interval` for what it asks of the feed, every byte for the terminal to `written`, and a byte for each snapshot to `snapshots`.
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EngineSnapshot } from '../../../engine/snapshot.ts';
import type { SnapshotFeed } from '../../../shell/top/feed.ts';
import { runTop } from '../../../shell/top/run_top.ts';
import { daemonSnapshot, withPorts } from './support.ts';

const [, , file = '', folder = ''] = process.argv;
const engines = JSON.parse(readFileSync(file, 'utf8')) as EngineSnapshot[];
const has = (name: string): boolean => existsSync(join(folder, name));

const write = process.stdout.write.bind(process.stdout);
process.stdout.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
  appendFileSync(join(folder, 'written'), chunk);
  return write(chunk, ...(rest as []));
};

/** Ticks of a second each, however fast they come: rates do not depend on this machine. */
class FileFeed implements SnapshotFeed {
  #timer: NodeJS.Timeout | undefined;
  #tick = 0;
  #packets = 0;
  #isLost = false;
  #lost: (reason: string) => void = () => {};
  #back: () => void = () => {};

  subscribe(intervalMs: number, onSnapshot: Parameters<SnapshotFeed['subscribe']>[1]): void {
    clearInterval(this.#timer);
    writeFileSync(join(folder, 'interval'), String(intervalMs));
    this.#timer = setInterval(() => {
      if (has('lost') !== this.#isLost) {
        this.#isLost = !this.#isLost;
        if (this.#isLost) this.#lost('the daemon ended');
        else this.#back();
      }
      if (!this.#isLost) this.#next(onSnapshot);
    }, 50);
  }

  #next(onSnapshot: Parameters<SnapshotFeed['subscribe']>[1]): void {
    if (!has('still')) this.#tick++;
    if (!has('still') && !has('quiet')) this.#packets++;
    const now = engines.map((engine) =>
      withPorts(engine, (port) => ({
        rxPackets: port.rxPackets * this.#packets,
        rxBytes: port.rxBytes * this.#packets,
      })),
    );
    onSnapshot(daemonSnapshot(this.#tick * 1000, now, { applications: { 77: 'zeek' } }));
    appendFileSync(join(folder, 'snapshots'), '.');
  }

  onLost(callback: (reason: string) => void): void {
    this.#lost = callback;
  }

  onBack(callback: () => void): void {
    this.#back = callback;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

const status = await runTop(new FileFeed(), { intervalMs: 1000, isAscii: false });
writeFileSync(join(folder, 'status'), String(status));
process.exit(status);
