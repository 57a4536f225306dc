// Numbers as people of this field write them: three digits that count, and the unit. Pure; the dashboard's text calls it.

const prefixes = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** 0, 9.5, 12, 1.23 k, 45.6 M: at most seven characters. Numbers up to `exactMax` are not rounded to a prefix. */
function scaled(value: number, exactMax: number): { digits: string; prefix: string } {
  let rest = value;
  let step = 0;
  if (value > exactMax) {
    // From 999.5 on three digits would say 1000.
    while (rest >= 999.5 && step < prefixes.length - 1) {
      rest /= 1000;
      step++;
    }
  }
  const decimals = step === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return { digits: rest.toFixed(decimals), prefix: prefixes[step] ?? '' };
}

/** Below one per second, but not none: rounding to 0 would hide a loss. */
function rate(value: number, unit: string): string {
  if (value > 0 && value < 0.5) return `<1 ${unit}`;
  const { digits, prefix } = scaled(value, 999);
  return `${digits} ${prefix}${unit}`;
}

/** Packets per second: "1.49 Mpps". At most nine characters. */
export function packetRate(packetsPerS: number): string {
  return rate(packetsPerS, 'pps');
}

/** Bits per second on the wire: "1.00 Gbit/s". At most eleven characters. */
export function bitRate(bitsPerS: number): string {
  return rate(bitsPerS, 'bit/s');
}

/** A count of packets: exact up to seven digits, then "12.3 M". */
export function count(packets: number): string {
  const { digits, prefix } = scaled(packets, 9_999_999);
  return prefix === '' ? digits : `${digits} ${prefix}`;
}

/** How full: 0 % only when empty, 100 % only when full. */
export function percent(used: number, size: number): string {
  if (size <= 0 || used <= 0) return '0 %';
  if (used >= size) return '100 %';
  return `${Math.min(99, Math.max(1, Math.round((100 * used) / size)))} %`;
}

/** A time that has passed: "0:00:09", "3 d 04:05:06". */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const clock = `${two(minutes)}:${two(seconds % 60)}`;
  return hours < 24 ? `${hours}:${clock}` : `${Math.floor(hours / 24)} d ${two(hours % 24)}:${clock}`;
}

/** A short time in seconds, without needless zeros: "0.2 s", "10 s". */
export function seconds(ms: number): string {
  return `${Number((ms / 1000).toFixed(1))} s`;
}
