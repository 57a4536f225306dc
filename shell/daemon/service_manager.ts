// Tells the service manager that started the daemon how it is: NOTIFY_SOCKET, as sd_notify(3) describes.
import { errorText } from '../../engine/errors.ts';
import { serviceNotify } from '../../engine/native.ts';
import type { Log } from './log.ts';

/** Taken out of the environment: what scripts start is no concern of the service manager. */
function takeAddress(): string | undefined {
  const address = process.env.NOTIFY_SOCKET;
  delete process.env.NOTIFY_SOCKET;
  return address === '' ? undefined : address;
}

export class ServiceManager {
  readonly #address = takeAddress();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param state lines of sd_notify(3): "READY=1" */
  notify(state: string): void {
    if (this.#address === undefined) return;
    try {
      serviceNotify(this.#address, state);
    } catch (error) {
      this.#log.write('warn', errorText(error));
    }
  }
}
