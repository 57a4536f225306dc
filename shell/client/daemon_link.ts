// A link to the daemon that outlives it: when the daemon goes, it looks for the next one. For programs that people
// leave open: the prompt and the dashboard.
import { setTimeout as delay } from 'node:timers/promises';
import { BricksError } from '../../engine/errors.ts';
import { type ClientEvents, ControlClient } from './control_client.ts';

/** How often it looks for a daemon. */
const retryMs = 300;

export interface LinkEvents extends Omit<ClientEvents, 'closed'> {
  /** The daemon has gone; one line says why. */
  lost(reason: string): void;
  /** Another daemon, or the same one again, is there. */
  back(client: ControlClient): void;
}

export class DaemonLink {
  readonly #program: string;
  readonly #events: LinkEvents;
  #client: ControlClient | undefined;
  #isClosed = false;

  private constructor(program: string, events: LinkEvents) {
    this.#program = program;
    this.#events = events;
  }

  /** Throws as {@link ControlClient.connect} does: the first connection must succeed. */
  static async open(program: string, events: LinkEvents): Promise<DaemonLink> {
    const link = new DaemonLink(program, events);
    link.#client = await link.#connect();
    return link;
  }

  /** True while there is a daemon. */
  get isUp(): boolean {
    return this.#client !== undefined;
  }

  /** The daemon. Throws DAEMON_GONE while there is none. */
  get client(): ControlClient {
    if (this.#client === undefined) throw BricksError.of('DAEMON_GONE', { reason: 'waiting for it to return' });
    return this.#client;
  }

  close(): void {
    this.#isClosed = true;
    this.#client?.close();
  }

  #connect(): Promise<ControlClient> {
    return ControlClient.connect(this.#program, {
      ...this.#events,
      closed: (reason) => {
        this.#client = undefined;
        if (this.#isClosed) return;
        this.#events.lost(reason);
        void this.#reconnect();
      },
    });
  }

  async #reconnect(): Promise<void> {
    while (!this.#isClosed && this.#client === undefined) {
      // Without ref: a program that is done does not wait for a daemon.
      await delay(retryMs, undefined, { ref: false });
      const client = await this.#connect().catch(() => undefined);
      if (client === undefined) continue;
      if (this.#isClosed) {
        client.close();
        return;
      }
      this.#client = client;
      this.#events.back(client);
    }
  }
}
