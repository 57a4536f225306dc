// `bricks --drivers`: which port drivers there are, and what others lack. Called by shell/bricks.ts.
import { probeDrivers } from '../engine/drivers.ts';
import { driversText } from '../lua/drivers_text.ts';
import { exitStatus } from './command/options.ts';
import { surviveLostStreams } from './prompt/terminal.ts';

/** Prints the list; the exit status. */
export function listDrivers(): number {
  surviveLostStreams();
  process.stdout.write(driversText(probeDrivers()));
  return exitStatus.success;
}
