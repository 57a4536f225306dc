// The daemon and its engines at one moment, as clients, the status file and Prometheus get it.
import { readFileSync } from 'node:fs';
import { applicationPid } from '../../engine/counters.ts';
import { PktEngine } from '../../engine/pkt_engine.ts';
import { type EngineSnapshot, snapshotOf } from '../../engine/snapshot.ts';
import { version } from '../../package_info.ts';
import type { Snapshot } from '../protocol/messages.ts';

const startedMs = Date.now() - performance.now();

/** Names of the programs at the ends of pipes, by process id: looked up once for each. */
let applications: Record<string, string> = {};

function programName(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    // It is gone, or belongs to a container that we do not see into.
    return 'unknown';
  }
}

function applicationsOf(engines: readonly EngineSnapshot[]): Record<string, string> {
  const pids = engines
    .flatMap(({ stats }) => stats.ports.map((port) => applicationPid(port) ?? 0))
    .filter((pid) => pid > 0)
    .map(String);
  applications = Object.fromEntries(pids.map((pid) => [pid, applications[pid] ?? programName(pid)]));
  return applications;
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
