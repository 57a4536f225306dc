// What the data plane says of its port drivers and bricks: the tables in C, read once.
import { BricksError } from './errors.ts';
import { describe } from './native.ts';
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
  })[];
  readonly bricks: readonly NativeBrick[];
}

const description = JSON.parse(describe()) as Description;

/** A port driver of this build. */
export type Driver = DriverInfo & { readonly counters: readonly CounterDescription[] };

/** Every port driver of this build, in alphabetical order. */
export const drivers: readonly Driver[] = description.drivers.map((driver) => ({
  ...driver,
  options: Object.fromEntries(driver.options.map(({ name, ...schema }) => [name, schema])),
}));

/** Every brick of this build's C side, in alphabetical order. */
export const nativeBricks: readonly NativeBrick[] = description.bricks;

/** Drivers that can stand for a bare interface name. */
const interfaceDrivers = ['packet', 'xdp', 'netmap'];

let defaultDriver = 'packet';

function checkDriver(name: string): string {
  const have = drivers.map((driver) => driver.name).filter((driver) => interfaceDrivers.includes(driver));
  if (!have.includes(name)) {
    const hint = `interface drivers of this build: ${have.join(', ')}`;
    throw BricksError.of('ARGUMENT_INVALID', { what: 'default driver', problem: `"${name}" is not there`, hint });
  }
  return name;
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
