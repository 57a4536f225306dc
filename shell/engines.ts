// What `bricks` and the daemon have in common: options that engines take, start-up scripts, and the clean end.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { EngineStats } from '../engine/counters.ts';
import { setDefaultDriver, setDpdkEal } from '../engine/drivers.ts';
import { BricksError, errorText } from '../engine/errors.ts';
import { PktEngine, setDefaultBatchPackets } from '../engine/pkt_engine.ts';
import { packageRoot } from '../package_info.ts';
import { UsageError } from './command/options.ts';

/** Applies options that the engine checks; what it says against them is a usage error. Those of DPDK it checks itself. */
export function applyEngineOptions(options: Readonly<Record<string, string | undefined>>): void {
  const { batch, driver, 'dpdk-eal': dpdkEal } = options;
  if (batch !== undefined && !/^\d+$/.test(batch)) throw new UsageError(`batch: "${batch}" is not a whole number`);
  try {
    if (batch !== undefined) setDefaultBatchPackets(Number(batch));
    if (driver !== undefined) setDefaultDriver(driver);
  } catch (error) {
    if (error instanceof BricksError) throw new UsageError(error.message);
    throw error;
  }
  if (dpdkEal !== undefined) setDpdkEal(dpdkEal);
}

/** A script and what messages call it. */
export interface Script {
  readonly name: string;
  readonly source: Uint8Array;
}

/** A script from the working directory, else one that comes with the package, as dofile() finds it. */
export function readScript(file: string): Script {
  const name = existsSync(file) ? file : resolve(packageRoot, file);
  try {
    return { name, source: readFileSync(name) };
  } catch (error) {
    const text = errorText(error);
    throw BricksError.of('SCRIPT_UNREADABLE', { file, problem: text });
  }
}

/** Counters that say that a capture was not read or written whole. */
const failures = ['corrupt', 'write_error'];

function hasFailed({ ports }: EngineStats): boolean {
  return ports.some(({ drops, others }) => failures.some((name) => (drops[name] ?? others[name] ?? 0) > 0));
}

/** How the engines ended. */
export interface EnginesEnd {
  readonly stats: readonly EngineStats[];
  /** One line for each engine that could not be stopped in order. */
  readonly problems: readonly string[];
  /** False where a capture was not read or written whole. */
  readonly isWhole: boolean;
}

/**
 * Stops and deletes every engine, whatever becomes of one of them: captures are flushed, counters are final, interfaces
 * that ports have made are gone.
 */
export function stopEngines(): EnginesEnd {
  const engines = PktEngine.all();
  const problems: string[] = [];
  const stats = engines.map((engine) => {
    try {
      if (engine.isRunning) engine.stop();
    } catch (error) {
      problems.push(errorText(error));
    }
    return engine.stats();
  });
  for (const engine of engines) if (!engine.isRunning) engine.delete();
  return { stats, problems, isWhole: !stats.some(hasFailed) };
}
