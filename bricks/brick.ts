// Brick: what users build graphs of. The contract of a brick's folder is BrickDescriptor (engine/graph.ts).
import { abi } from '../engine/abi.ts';
import { BrickControl } from '../engine/brick_control.ts';
import { BricksError } from '../engine/errors.ts';
import type { BrickDescriptor, BrickNode } from '../engine/graph.ts';
import { checkOptions, type Options, type OptionValue } from '../engine/options.ts';
import { findBrick } from './registry.ts';

/** Options by name, or the value of the brick's main option. */
export type BrickArgument = OptionValue | Readonly<Record<string, OptionValue>>;

function isOptions(argument: BrickArgument): argument is Readonly<Record<string, OptionValue>> {
  return typeof argument === 'object' && !Array.isArray(argument);
}

/**
 * A brick of a graph: its options, the names of its ports, the bricks below it.
 *
 * It is only a description: PktEngine.link() validates it, PktEngine.start() acts on it.
 */
export class Brick implements BrickNode {
  readonly descriptor: BrickDescriptor;
  readonly options: Options;
  readonly control?: BrickControl;
  readonly #inputs: string[] = [];
  readonly #outputs: string[] = [];
  readonly #children: Brick[] = [];

  /**
   * @param type     name of the brick: "LoadBalancer"; throws BRICK_UNKNOWN
   * @param argument its options, or the value of its main one: `new Brick('LoadBalancer', 4)`
   */
  constructor(type: string, argument?: BrickArgument) {
    this.descriptor = findBrick(type);
    const what = `brick "${type}"`;
    let given: Readonly<Record<string, OptionValue>> = {};
    if (argument !== undefined && isOptions(argument)) {
      given = argument;
    } else if (argument !== undefined) {
      const main = this.descriptor.argument;
      if (main === undefined) {
        throw BricksError.of('ARGUMENT_INVALID', { what, problem: 'takes no argument', hint: `new("${type}")` });
      }
      given = { [main]: argument };
    }
    const checked = checkOptions(what, this.descriptor.options, given);
    this.options = this.descriptor.complete?.(checked) ?? checked;
    if (this.descriptor.commands !== undefined)
      this.control = new BrickControl(type, this.descriptor.pack(this.options));
  }

  /**
   * Asks something of the brick, also while its engine runs: `filter.call('remove', 7)`. The brick's README says what
   * commands it has, what they take and what they answer. Throws ARGUMENT_INVALID where it has none of that name.
   */
  call(command: string, argument?: unknown): unknown {
    const { name, commands = {} } = this.descriptor;
    if (this.control === undefined || !Object.hasOwn(commands, command)) {
      const hint = `have: ${Object.keys(commands).join(', ') || 'none'}`;
      throw BricksError.of('ARGUMENT_INVALID', {
        what: `brick "${name}"`,
        problem: `has no command "${command}"`,
        hint,
      });
    }
    return commands[command]?.run(this.control, argument);
  }

  /** What the user is to know of a brick that was made: `Flowgen id: 4660`. */
  get greeting(): string | undefined {
    return this.descriptor.greeting?.(this.options);
  }

  get inputs(): readonly string[] {
    return this.#inputs;
  }

  get outputs(): readonly string[] {
    return this.#outputs;
  }

  get children(): readonly Brick[] {
    return this.#children;
  }

  /** Adds input ports by name. */
  connectInput(...ports: string[]): this {
    this.#inputs.push(...ports);
    return this;
  }

  /** Adds output ports by name; the order is the order of outputs. */
  connectOutput(...ports: string[]): this {
    this.#outputs.push(...ports);
    return this;
  }

  /** Adds `count` pipes `name{0` to `name{count-1}`. */
  connectOutputs(name: string, count: number): this {
    if (!Number.isInteger(count) || count < 1 || count > abi.outputsMax) {
      throw BricksError.of('LIMIT_EXCEEDED', { what: 'outputs', value: count, min: 1, max: abi.outputsMax });
    }
    return this.connectOutput(...Array.from({ length: count }, (_, i) => `${name}{${i}`));
  }

  /** Puts bricks below this one: an output `X{n` here that is an input `X}n` there becomes an edge between them. */
  link(...bricks: Brick[]): this {
    this.#children.push(...bricks);
    return this;
  }
}
