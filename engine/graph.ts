// The description of a graph: what Lua and TypeScript build, before anything is validated or opened.
import type { BrickControl } from './brick_control.ts';
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
  /** Set where its packets visit a program beside the engine before they leave. */
  readonly companion?: CompanionDescriptor;
  /** The option that does not fit so many outputs, where there is one, and what it may be, in words. */
  misfit?(options: Options, outputs: number): { readonly option: string; readonly allowed: string } | undefined;
  /** Fills in what is chosen anew for each brick, and checks what a schema cannot say. Throws OPTION_INVALID. */
  complete?(options: Options): Options;
  /** What the user is told when a brick is made, where there is something to tell: one line. */
  greeting?(options: Options): string;
  /** The options as the C side's config struct. */
  pack(options: Options): Uint8Array;
  /** What can be asked of it while it runs, by name: methods of the brick in Lua. Its C side has a control object then. */
  readonly commands?: Readonly<Record<string, BrickCommand>>;
}

/** Something that can be asked of a brick at any time. */
export interface BrickCommand {
  /** How it is called in Lua: `add(<rule>)`. */
  readonly signature: string;
  /** One line for users. */
  readonly text: string;
  /** @param argument what the caller gave, checked by the command itself; returns a plain value */
  run(control: BrickControl, argument: unknown): unknown;
}

/** A program that runs beside the engine: it reads a brick's packets from one pipe and sends them back by another. */
export interface CompanionDescriptor {
  /** Options of both pipes, as `key=value`. */
  pipeOptions(options: Options): readonly string[];
  /**
   * The command to run: program and arguments. Throws where it cannot work, say because a file is missing.
   *
   * @param pipes   names of the pipe to read and of the one to write
   * @param outputs of the brick: verdicts are less than that
   */
  command(
    options: Options,
    pipes: { readonly from: string; readonly to: string },
    outputs: number,
  ): readonly [string, ...string[]];
  /** Whether to start it anew when it has failed. */
  restarts(options: Options): boolean;
}

/** A brick as the user has described it so far. */
export interface BrickNode {
  readonly descriptor: BrickDescriptor;
  readonly options: Options;
  /** Where the descriptor has commands. */
  readonly control?: BrickControl;
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
