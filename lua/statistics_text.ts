// Statistics as text, in the columns of packet-bricks: what show_stats() prints, and the shell at its end.
import type { EngineStats } from '../engine/counters.ts';

const width = 104;

function columns(...counts: readonly number[]): string {
  const [packets = 0, ...rest] = counts;
  return [` ${String(packets).padStart(10)}`, ...rest.map((count) => ` ${String(count).padStart(11)}`)].join(' \t\t');
}

/** Packets that went no further: dropped with a reason, or lost before they were received. */
function droppedPackets(stats: EngineStats): number {
  return stats.dropped + stats.lost;
}

/** The table of all engines, with a line for the total. */
export function engineTable(engines: readonly EngineStats[]): string {
  const sum = (count: (stats: EngineStats) => number): number =>
    engines.reduce((total, stats) => total + count(stats), 0);
  const title = ' ENGINE STATISTICS ';
  return [
    `${'-'.repeat(41)}${title}${'-'.repeat(width - 41 - title.length)}`,
    'Engine \t\t Packet Cnt \t\t    Byte Cnt \t\t Packet Drop',
    ...engines.map((stats) => `${stats.engine} \t\t${columns(stats.rxPackets, stats.rxBytes, droppedPackets(stats))}`),
    '='.repeat(width),
    `Total \t\t${columns(
      sum((stats) => stats.rxPackets),
      sum((stats) => stats.rxBytes),
    )}`,
    '-'.repeat(width),
    '',
  ].join('\n');
}

/** The block of one engine. */
export function engineBlock(stats: EngineStats): string {
  return [
    `---------- ENGINE (${stats.engine}) STATS------------`,
    `Byte count: ${stats.rxBytes}`,
    `Packet count: ${stats.rxPackets}`,
    `Packet drop count: ${droppedPackets(stats)}`,
    '-'.repeat(40),
    '',
  ].join('\n');
}
