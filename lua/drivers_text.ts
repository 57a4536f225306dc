// The port drivers of this build as text, one line for each: what `bricks --drivers` and BRICKS.show_drivers() print.
import type { DriverStatus } from '../engine/drivers.ts';

export function driversText(statuses: readonly DriverStatus[]): string {
  const width = Math.max(...statuses.map(({ name }) => name.length));
  const lines = statuses.map(({ name, available, reason, text }) => {
    return `${name.padEnd(width)}  ${available ? `available: ${text}` : `not available: ${reason}`}\n`;
  });
  return lines.join('');
}
