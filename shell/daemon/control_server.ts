// The control socket: listens, admits clients up to a limit, and closes all of them at the end.
//
// Who may connect is decided by the kernel: the socket's mode and group. Whoever gets in can run Lua, which can do
// what the daemon can.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { BricksError, errorText } from '../../engine/errors.ts';
import { ClientConnection, type DaemonServices } from './client_connection.ts';

/** Clients at once. One that comes then takes the place of the oldest that has not said hello, or is told to come later. */
const clientsMax = 256;

/** How long clients have to read what is left for them. */
const goodbyeMsMax = 1000;

/** The id of a group of this system. Throws GROUP_UNKNOWN. */
function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  try {
    return Number(execFileSync('getent', ['group', group], { encoding: 'utf8' }).split(':')[2]);
  } catch {
    throw BricksError.of('GROUP_UNKNOWN', { group });
  }
}

function failure(path: string, error: unknown): BricksError {
  return BricksError.of('CONTROL_SOCKET', { path, problem: errorText(error) });
}

/** Listens; the socket's file is there, with its rights, when this returns: others cannot come in between. */
function listenAt(server: Server, path: string): Promise<void> {
  // A process that was killed leaves its socket behind. Ours is the lock of the runtime directory.
  rmSync(path, { force: true });
  const mask = process.umask(0o177);
  try {
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
}

export class ControlServer {
  readonly #server: Server;
  readonly #clients = new Set<ClientConnection>();
  readonly #services: DaemonServices;
  #path = '';
  #isClosing = false;

  constructor(services: DaemonServices) {
    this.#services = services;
    this.#server = createServer((socket) => this.#admit(socket));
  }

  /** Clients that have said hello. */
  get clients(): number {
    return [...this.#clients].filter((client) => client.isGreeted).length;
  }

  /** Listens at `path`, for this user, or for a group as well. Throws GROUP_UNKNOWN, CONTROL_SOCKET. */
  async listen(path: string, group: string | undefined): Promise<void> {
    const gid = group === undefined ? undefined : groupId(group);
    try {
      await listenAt(this.#server, path);
      this.#path = path;
      if (gid !== undefined) {
        chownSync(path, -1, gid);
        chmodSync(path, 0o660);
      }
    } catch (error) {
      throw failure(path, error);
    }
    // Accepting may fail later, without descriptors for instance: that costs the one who came.
    this.#server.on('error', (error) => this.#services.log.write('warn', `control socket: ${error.message}`));
  }

  /** Removes the socket and says goodbye to every client; resolves when they have gone, or had time to. */
  async close(reason: string): Promise<void> {
    this.#isClosing = true;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    if (this.#path !== '') rmSync(this.#path, { force: true });
    for (const client of this.#clients) client.close(reason);
    await Promise.race([closed, delay(goodbyeMsMax)]);
  }

  #admit(socket: Socket): void {
    const client: ClientConnection = new ClientConnection(socket, this.#services, () => this.#clients.delete(client));
    if (this.#isClosing) {
      client.close('the daemon ends');
      return;
    }
    this.#clients.add(client);
    if (this.#clients.size <= clientsMax) return;
    // Those who connect and say nothing must not keep others out.
    const idle = [...this.#clients].find((other) => !other.isGreeted);
    idle?.close(`there are ${clientsMax} clients already; come again later`);
    if (idle !== undefined) this.#clients.delete(idle);
  }
}
