// The dashboard's snapshots, from the daemon: from one daemon after the other, where they are restarted.
import type { Snapshot } from '../protocol/messages.ts';
import type { SnapshotFeed } from '../top/feed.ts';
import type { ControlClient } from './control_client.ts';
import { DaemonLink } from './daemon_link.ts';

export class DaemonFeed implements SnapshotFeed {
  #link: DaemonLink | undefined;
  #intervalMs = 0;
  #onSnapshot: (snapshot: Snapshot) => void = () => {};
  #onLost: (reason: string) => void = () => {};
  #onBack: () => void = () => {};

  private constructor() {}

  /** Throws as ControlClient.connect() does: the first daemon must be there. */
  static async open(program: string): Promise<DaemonFeed> {
    const feed = new DaemonFeed();
    feed.#link = await DaemonLink.open(program, {
      snapshot: (snapshot) => feed.#onSnapshot(snapshot),
      lost: (reason) => feed.#onLost(reason),
      back: (client) => {
        feed.#onBack();
        feed.#subscribe(client);
      },
    });
    return feed;
  }

  subscribe(intervalMs: number, onSnapshot: (snapshot: Snapshot) => void): void {
    this.#intervalMs = intervalMs;
    this.#onSnapshot = onSnapshot;
    if (this.#link?.isUp) this.#subscribe(this.#link.client);
  }

  onLost(callback: (reason: string) => void): void {
    this.#onLost = callback;
  }

  onBack(callback: () => void): void {
    this.#onBack = callback;
  }

  close(): void {
    this.#link?.close();
  }

  #subscribe(client: ControlClient): void {
    // One that goes meanwhile is reported as lost.
    client.subscribe(this.#intervalMs).catch(() => {});
  }
}
