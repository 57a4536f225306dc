// What the dashboard needs of a connection to the daemon. shell/bricks_top.ts gives it one, tests give it their own.
import type { Snapshot } from '../protocol/messages.ts';

/** Snapshots of one daemon after the other. Callbacks come from the event loop, never from within a call. */
export interface SnapshotFeed {
  /** From now on a snapshot every so many milliseconds, in place of what was asked for before. */
  subscribe(intervalMs: number, onSnapshot: (snapshot: Snapshot) => void): void;
  /** The daemon, or the connection to it, has gone. The feed goes on trying. */
  onLost(callback: (reason: string) => void): void;
  /** There is a daemon again; snapshots come as asked for. */
  onBack(callback: () => void): void;
  close(): void;
}
