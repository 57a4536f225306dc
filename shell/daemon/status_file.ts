// The status file: what the daemon does, for whoever may read files and not use the control socket.
//
// Rewritten every few seconds: a new file takes the place of the old one, so that readers find a whole one at any time.
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Snapshot } from '../protocol/messages.ts';
import type { Log } from './log.ts';
import { plainNames } from './plain_names.ts';

const intervalMs = 5000;

/** One JSON object; counters as in BRICKS.stats(). */
function statusText({ pid, version, startedMs, timeMs, clients, engines }: Snapshot): string {
  const status = {
    pid,
    version,
    started: new Date(startedMs).toISOString(),
    written: new Date(timeMs).toISOString(),
    clients,
    engines: plainNames(engines.map(({ stats }) => stats)),
  };
  return `${JSON.stringify(status, null, 2)}\n`;
}

export class StatusFile {
  readonly #path: string;
  readonly #log: Log;
  readonly #snapshot: () => Snapshot;
  readonly #timer: NodeJS.Timeout;
  #isFailing = false;

  constructor(path: string, snapshot: () => Snapshot, log: Log) {
    this.#path = path;
    this.#snapshot = snapshot;
    this.#log = log;
    this.#timer = setInterval(() => this.write(), intervalMs);
    this.write();
  }

  /** Ends the writing and removes the file: a status that is there belongs to a daemon that runs, or was killed. */
  close(): void {
    clearInterval(this.#timer);
    rmSync(this.#path, { force: true });
  }

  /** Besides the regular times: now. */
  write(): void {
    const temporary = `${this.#path}.new`;
    try {
      rmSync(temporary, { force: true });
      // "wx": whatever somebody else has put there meanwhile is not followed.
      writeFileSync(temporary, statusText(this.#snapshot()), { mode: 0o644, flag: 'wx' });
      renameSync(temporary, this.#path);
      this.#isFailing = false;
    } catch (error) {
      rmSync(temporary, { force: true });
      // A full disk must not fill the log as well: said once until it works again.
      if (!this.#isFailing) this.#log.write('warn', `cannot write the status file: ${error}`);
      this.#isFailing = true;
    }
  }
}
