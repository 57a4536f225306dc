// The description of a graph: what Lua and TypeScript build, before anything is validated or opened.
import type { OptionSchemas, Options } from './options.ts';

/** A bound on how many inputs or outputs a brick has. */
export interface PortCount {
  readonly min: number;
  readonly max: number;
}

/** What a brick's folder says of it. The C side of the same name does the work. */
export interface BrickDescriptor {
  /** As in `Brick.new(NAME)`. */
  readonly name: string;
  /** One line for users. */
  readonly text: string;
  readonly options: OptionSchemas;
  /** The option that a bare second argument sets: `Brick.new("LoadBalancer", 2)`. */
  readonly argument?: string;
  readonly inputs: PortCount;
  readonly outputs: PortCount;
  /** The driver of names that say none, where it is not the engine's: "pcap". */
  readonly inputDriver?: string;
  readonly outputDriver?: string;
  /** True where inputs behind the first only lend their name. */
  readonly nominalInputs?: boolean;
  /** True where a packet may leave by several outputs. */
  readonly copies?: boolean;
  /** True where outputs are chosen by the flow hash: a chain of such bricks seeds it by depth. */
  readonly splitsByHash?: boolean;
  /** The options as the C side's config struct. */
  pack(options: Options): Uint8Array;
}

/** A brick as the user has described it so far. */
export interface BrickNode {
  readonly descriptor: BrickDescriptor;
  readonly options: Options;
  /** Port names as written. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Bricks linked below this one. */
  readonly children: readonly BrickNode[];
}

/** A brick linked to an engine. */
export interface Link {
  readonly brick: BrickNode;
  /** Undefined: the default. */
  readonly batchPackets: number | undefined;
  /** Undefined: none. */
  readonly queueId: number | undefined;
}
