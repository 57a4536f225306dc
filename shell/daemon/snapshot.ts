// The daemon and its engines at one moment, as clients, the status file and Prometheus get it.
import { PktEngine } from '../../engine/pkt_engine.ts';
import { type EngineSnapshot, snapshotOf } from '../../engine/snapshot.ts';
import { version } from '../../package_info.ts';
import type { Snapshot } from '../protocol/messages.ts';

const startedMs = Date.now() - performance.now();

function applicationsOf(engines: readonly EngineSnapshot[]): Record<string, string> {
  const applications = engines.flatMap(({ stats }) => stats.ports.flatMap(({ application }) => application ?? []));
  return Object.fromEntries(applications.map(({ pid, program }) => [pid, program]));
}

/** @param clients how many are connected */
export function takeSnapshot(clients: number): Snapshot {
  const engines = PktEngine.all().map(snapshotOf);
  return {
    monotonicMs: performance.now(),
    timeMs: Date.now(),
    pid: process.pid,
    version,
    startedMs,
    engines,
    applications: applicationsOf(engines),
    clients,
  };
}
