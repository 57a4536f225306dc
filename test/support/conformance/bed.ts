// The beds of the conformance suite: for each driver how its ports are made and reached from outside.
//
// A bed has three wires: an engine's port at the inner end, the test at the outer one. The suite's cases know
// nothing else of a driver; what one cannot do by its nature a bed says as data.
import type { TestContext } from 'node:test';
import { type DriverStatus, drivers, probeDrivers } from '../../../index.ts';
import type { Place as EnginePlace } from '../engine_process.ts';
import type { Cycles } from './cycles.ts';
import type { Wires } from './wires.ts';

/** Frames on a wire of usual size, in bytes without the MTU's exceptions: 14 + 1500. */
export const frameBytes = 1514;

/** How many wires every bed has. */
export const wireCount = 3;

/** A driver's ports as users write them, in a place that was made for them. */
export interface Place {
  /** Where the engine's process runs. */
  readonly engines: EnginePlace;
  readonly wires: Wires;
  /** A port's name, with the options that frames of `bytes` need. */
  port(wire: number, role: 'input' | 'output', bytes?: number): string;
  /** The name in statistics. */
  portName(wire: number, role: 'input' | 'output'): string;
  /** The peers come, or stay; before or after an engine starts. The wires carry frames of `bytes` from now on, if told. */
  attach(wires: readonly number[], bytes?: number): Promise<void>;
  /** An engine is gone: what was made for it by {@link attach} goes, too. */
  detach(wires: readonly number[], isKilled?: boolean): Promise<void>;
  /** An output takes no longer frames, while no engine is there. */
  limit?(wire: number, bytes: number): Promise<void>;
  /** All peers leave or come back, while an engine is there or not. */
  setPeers?(isUp: boolean): Promise<void>;
  /** The peer of a wire leaves or comes back, while an engine is there. */
  setPeer?(wire: number, isUp: boolean): Promise<void>;
  /** Sets the engine's end of a wire down or up, as an administrator would. */
  setLink?(wire: number, isUp: boolean): Promise<void>;
  /** Takes the engine's end of a wire away while it runs. */
  remove?(wire: number): Promise<void>;
  /** What engines left outside their process and should not have, even if it was killed: interfaces, programs, files. */
  leftovers(isKilled?: boolean): string[];
  /** How many things that engines need are there outside their processes, those of other tests as well. */
  held?(): number;
}

/** A driver, and what to expect of it. */
export interface Bed {
  readonly name: string;
  readonly driver: string;
  /** The peers come before the engine, where a case does not say otherwise. */
  readonly peersFirst: boolean;
  /** They cannot come first. */
  readonly peersLast?: boolean;
  /** The lengths of frames that pass. */
  readonly bytesMin: number;
  readonly bytesMax: number;
  /** Service tags (0x88a8) stay what they are. */
  readonly keepsServiceTags: boolean;
  /** Input and output may be the same. */
  readonly isTwoWay: boolean;
  /** Why an engine cannot be stopped and started in the middle of traffic. */
  readonly noRestart?: string;
  /** Whether packets that are lost before they are received are counted. */
  readonly countsLost: boolean;
  /** A port that cannot be there, and the errno of that. */
  readonly missing: { readonly port: string; readonly code: RegExp };
  /** The errno where an unprivileged user opens a port. */
  readonly refusal?: RegExp;
  /** The role in which a port is one process's alone. */
  readonly exclusive?: 'input' | 'output';
  /** Starts and stops in the test for leaks. */
  readonly cycles: Cycles;
  /** Why it cannot be here, or false. */
  skip(): string | false;
  /** Makes the place; it goes when the test `t` is over. */
  make(t: TestContext): Promise<Place>;
}

let statuses: readonly DriverStatus[] | undefined;

/** Why a driver cannot be used here, or false. */
export function skipDriver(name: string): string | false {
  statuses ??= probeDrivers();
  const status = statuses.find((candidate) => candidate.name === name);
  return status === undefined ? skipUnbuilt(name) : (status.reason ?? false);
}

/** Why a driver is not there at all, or false. */
export function skipUnbuilt(name: string): string | false {
  return drivers.some((driver) => driver.name === name) ? false : `the driver "${name}" is not in this build`;
}
