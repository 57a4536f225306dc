// What the data plane says of its port drivers and bricks: the tables in C, read once.
import { BricksError } from './errors.ts';
import { describe, driverProbe, driverSetup } from './native.ts';
import type { OptionSchema } from './options.ts';
import type { DriverInfo } from './plan.ts';

/** A counter as its C table describes it. */
export interface CounterDescription {
  readonly name: string;
  /** total: only grows; drop: a reason for packets that went no further; lost: before they were received; gauge. */
  readonly kind: 'total' | 'drop' | 'lost' | 'gauge';
  readonly unit: string;
  readonly text: string;
}

/** The C side of a brick. */
export interface NativeBrick {
  readonly name: string;
  readonly configBytes: number;
  /** True where it has a control object. */
  readonly control: boolean;
  readonly counters: readonly CounterDescription[];
  /** Of each output, beside the packets to it. */
  readonly outputCounters: readonly CounterDescription[];
}

interface Description {
  readonly drivers: readonly (Omit<DriverInfo, 'options'> & {
    readonly options: readonly (OptionSchema & { readonly name: string })[];
    readonly counters: readonly CounterDescription[];
    readonly module?: string;
  })[];
  readonly bricks: readonly NativeBrick[];
}

const description = JSON.parse(describe()) as Description;

/** A port driver of this build. */
export type Driver = DriverInfo & {
  readonly counters: readonly CounterDescription[];
  /** The file of its module, where its operations are in one: drivers of one module share its settings. */
  readonly module?: string;
};

/** Every port driver of this build, in alphabetical order. */
export const drivers: readonly Driver[] = description.drivers.map((driver) => ({
  ...driver,
  options: Object.fromEntries(driver.options.map(({ name, ...schema }) => [name, schema])),
}));

/** Every brick of this build's C side, in alphabetical order. */
export const nativeBricks: readonly NativeBrick[] = description.bricks;

/** Whether a driver can be used here. */
export interface DriverStatus {
  readonly name: string;
  readonly available: boolean;
  /** Why it is not available, and what to do about that. */
  readonly reason?: string;
  /** What its ports are. */
  readonly text: string;
}

/**
 * Every driver of this build, with what it lacks here. Drivers of libraries of their own are loaded for that, which
 * takes memory until the process ends.
 */
export function probeDrivers(): DriverStatus[] {
  return drivers.map(({ name, text }) => {
    const reason = driverProbe(name);
    return reason === undefined ? { name, available: true, text } : { name, available: false, reason, text };
  });
}

/** Drivers that a bare interface name can mean. */
export const interfaceDrivers: readonly string[] = drivers
  .filter(({ names }) => names === 'interface')
  .map(({ name }) => name);

let defaultDriver = 'packet';

function checkDriver(name: string): string {
  if (interfaceDrivers.includes(name)) return name;
  const isThere = drivers.some((driver) => driver.name === name);
  const problem = `"${name}" ${isThere ? 'is not one of interfaces by their names' : 'is not there'}`;
  const hint = `interface drivers of this build: ${interfaceDrivers.join(', ')}`;
  throw BricksError.of('ARGUMENT_INVALID', { what: 'default driver', problem, hint });
}

/** The driver that a bare interface name means: "packet" unless BRICKS_DRIVER or {@link setDefaultDriver} says otherwise. */
export function getDefaultDriver(): string {
  return defaultDriver;
}

/** Changes the driver that a bare interface name means. Throws ARGUMENT_INVALID for one that is not there. */
export function setDefaultDriver(name: string): void {
  defaultDriver = checkDriver(name);
}

if (process.env.BRICKS_DRIVER !== undefined) setDefaultDriver(process.env.BRICKS_DRIVER);

/** What BRICKS_DPDK_EAL says, until the library is told: that loads it, so not before one of its ports is made. */
let environmentEal = process.env.BRICKS_DPDK_EAL;

/**
 * Sets the options of DPDK's environment abstraction layer, as on the command line of its programs: "-m 512 --no-huge".
 * Before the first port that needs it is started. Throws where this build has no DPDK, or where the options are none.
 */
export function setDpdkEal(options: string): void {
  driverSetup('dpdk', options);
  environmentEal = undefined;
}

/** To be called before ports of these drivers are made. */
export function prepareDrivers(names: readonly string[]): void {
  if (environmentEal === undefined) return;
  const moduleOf = (name: string): string | undefined => drivers.find((driver) => driver.name === name)?.module;
  const needed = moduleOf('dpdk');
  if (needed !== undefined && names.some((name) => moduleOf(name) === needed)) setDpdkEal(environmentEal);
}
