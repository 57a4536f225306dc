// `bricks-top --once` over a feed: two snapshots, one picture, and the feed is closed whatever happens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Snapshot } from '../../../shell/protocol/messages.ts';
import type { SnapshotFeed } from '../../../shell/top/feed.ts';
import { topOnce } from '../../../shell/top/once.ts';
import { daemonSnapshot } from './support.ts';

/** Sends what it is given, then, if there is one, the reason of its loss. */
class ListFeed implements SnapshotFeed {
  readonly #snapshots: readonly Snapshot[];
  readonly #loss: string | undefined;
  #lost: (reason: string) => void = () => {};
  intervalMs = 0;
  isClosed = false;

  constructor(snapshots: readonly Snapshot[], loss?: string) {
    this.#snapshots = snapshots;
    this.#loss = loss;
  }

  subscribe(intervalMs: number, onSnapshot: (snapshot: Snapshot) => void): void {
    this.intervalMs = intervalMs;
    setImmediate(() => {
      for (const snapshot of this.#snapshots) onSnapshot(snapshot);
      if (this.#loss !== undefined) this.#lost(this.#loss);
    });
  }

  onLost(callback: (reason: string) => void): void {
    this.#lost = callback;
  }

  onBack(): void {}

  close(): void {
    this.isClosed = true;
  }
}

const options = { intervalMs: 2000, columns: 80, isAscii: false };

test('two snapshots make one picture; one that comes too soon is not the second', async () => {
  const feed = new ListFeed([daemonSnapshot(1000, []), daemonSnapshot(1001, []), daemonSnapshot(3000, [])]);
  assert.match(await topOnce(feed, options), /^packet-bricks 0\.1\.0 .* over 2 s/);
  assert.equal(feed.intervalMs, 2000);
  assert.ok(feed.isClosed);
});

test('a daemon that goes away first is an error that says why', async () => {
  const feed = new ListFeed([daemonSnapshot(1000, [])], 'ended by a user');
  await assert.rejects(topOnce(feed, options), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'DAEMON_GONE');
    assert.match(error.message, /ended by a user/);
    return true;
  });
  assert.ok(feed.isClosed);
});
