// From description to plan: a pure function that validates a graph and says what to open and connect.
//
// It opens nothing and looks at nothing but its arguments. engine/apply.ts acts on its result.
import { createHash } from 'node:crypto';
import { abi } from './abi.ts';
import { BricksError } from './errors.ts';
import type { BrickNode, Link, PortCount } from './graph.ts';
import { checkOptions, type OptionSchemas, type OptionValue } from './options.ts';
import { type NamedThing, type NamingDriver, type PortName, parsePortName, pipeName } from './port_name.ts';

/** What the plan needs to know of a port driver. */
export interface DriverInfo extends NamingDriver {
  readonly text: string;
  readonly input: boolean;
  readonly output: boolean;
  /** Its interfaces have pipes of their own: beside an input NAME, an output "NAME{n" is one. */
  readonly pipes: boolean;
  readonly options: OptionSchemas;
}

/** A port to open. */
export interface PlannedPort {
  /** As the user wrote it. */
  readonly text: string;
  readonly driver: string;
  /** What the name is of. */
  readonly names: NamedThing;
  readonly name: string;
  /** "key=value&key=value", as the data plane takes it. */
  readonly options: string;
}

/** A port to receive from, and the brick that gets its packets. */
export interface PlannedInput extends PlannedPort {
  readonly brick: number;
  /** The receive queue of the interface or device, where one was given: its option "queue" goes before the link's. */
  readonly queueId: number | undefined;
}

/** A port to send to, and the brick's output that feeds it. */
export interface PlannedOutput extends PlannedPort {
  readonly brick: number;
  readonly output: number;
}

/** A brick to make. */
export interface PlannedBrick {
  readonly node: BrickNode;
  /** Its outputs: the user's, and one to its companion where it has one. */
  readonly outputs: number;
  /** Bricks between it and the input that chose by the same hash. */
  readonly depth: number;
}

/** A brick's output that is another brick's input. */
export interface PlannedEdge {
  readonly from: number;
  readonly output: number;
  readonly to: number;
}

/** A program to run beside the engine, and the two pipes between it and its brick. */
export interface PlannedCompanion {
  readonly node: BrickNode;
  /** "e0.script0": the pipes are numbers 0, to the program, and 1, from it. */
  readonly name: string;
  /** Index of the output port that leads to it. */
  readonly output: number;
}

/** All that an engine has to do, in order. */
export interface Plan {
  readonly bricks: readonly PlannedBrick[];
  readonly inputs: readonly PlannedInput[];
  readonly outputs: readonly PlannedOutput[];
  readonly edges: readonly PlannedEdge[];
  readonly companions: readonly PlannedCompanion[];
  readonly batchPackets: number;
}

/** What surrounds the engine: the drivers there are, and which one a bare interface name means. */
export interface PlanContext {
  /** The engine's name. */
  readonly engine: string;
  readonly drivers: readonly DriverInfo[];
  readonly defaultDriver: string;
}

/** Validates the bricks linked to an engine. Throws the first {@link BricksError} found. */
export function planGraph(links: readonly Link[], context: PlanContext): Plan {
  return new Planner(links, context).plan();
}

/** The value of a whole-number option in a port's text of options; undefined: it is not given, or less than 0. */
function wholeOption(options: string, name: string): number | undefined {
  const [, value] = new RegExp(`(?:^|&)${name}=(\\d+)`).exec(options) ?? [];
  return value === undefined ? undefined : Number(value);
}

/** What a port is, of all that there are: several can share a name, told apart by the option "id". */
function portKey({ driver, name, options }: PlannedPort): string {
  return `${driver}:${name}?${wholeOption(options, 'id') ?? 0}`;
}

/** True where both would be given the same packets: the ports of one interface, unless each has a queue of its own. */
export function readsSame(one: PlannedInput, other: PlannedInput): boolean {
  if (portKey(one) !== portKey(other) || one.names === 'nothing') return false;
  return one.queueId === undefined || other.queueId === undefined || one.queueId === other.queueId;
}

/** Names whose ports can have several receive queues. */
const haveQueues: readonly NamedThing[] = ['interface', 'new interface', 'device'];

/** Characters of an engine's name that the names of its companions' pipes begin with. */
const companionStemMax = 32;

/** What the pipes of a brick's companion are called; pipe names are short, and of few characters. */
function companionName(engine: string, brick: string, number: number): string {
  const plain = engine.replace(/[^\w.:-]/g, '_').slice(0, companionStemMax);
  // Engines whose names differ only in what a pipe's cannot show have different pipes all the same.
  const mark = plain === engine ? '' : `-${createHash('sha256').update(engine).digest('hex').slice(0, 8)}`;
  return `${plain}${mark}.${brick.toLowerCase()}${number}`;
}

/** Options that depend on how many outputs there are. */
function checkFit({ descriptor, options, outputs }: BrickNode): void {
  const misfit = descriptor.misfit?.(options, outputs.length);
  if (misfit === undefined) return;
  const value = JSON.stringify(options[misfit.option]);
  throw BricksError.of('OPTION_INVALID', { what: `brick "${descriptor.name}"`, value, ...misfit });
}

class Planner {
  readonly #nodes: BrickNode[] = [];
  readonly #links = new Map<BrickNode, Link>();
  readonly #inputs: PlannedInput[] = [];
  readonly #outputs: PlannedOutput[] = [];
  readonly #edges: PlannedEdge[] = [];
  readonly #companions: PlannedCompanion[] = [];
  readonly #context: PlanContext;
  readonly #batchPackets: number;

  constructor(links: readonly Link[], context: PlanContext) {
    this.#context = context;
    this.#batchPackets = Math.max(...links.map((link) => link.batchPackets ?? abi.batchPacketsDefault));
    for (const link of links) this.#collect(link.brick, link, []);
  }

  plan(): Plan {
    for (const node of this.#nodes) {
      checkCount(node, 'inputs', node.inputs.length, node.descriptor.inputs);
      checkCount(node, 'outputs', node.outputs.length, node.descriptor.outputs);
      checkFit(node);
    }
    const consumers = this.#connectInputs();
    this.#connectOutputs(consumers);
    this.#connectCompanions();
    const order = this.#sorted();
    const depths = this.#depths(order);
    return {
      bricks: this.#nodes.map((node, i) => ({
        node,
        outputs: node.outputs.length + (node.descriptor.companion === undefined ? 0 : 1),
        depth: depths[i] ?? 0,
      })),
      inputs: this.#inputs,
      outputs: this.#outputs,
      edges: this.#edges,
      companions: this.#companions,
      batchPackets: this.#batchPackets,
    };
  }

  /** Walks the linked bricks; a brick reached twice is one node, one below itself is a cycle. */
  #collect(node: BrickNode, link: Link, above: readonly BrickNode[]): void {
    if (above.includes(node)) {
      const path = [...above.slice(above.indexOf(node)), node].map((brick) => brick.descriptor.name).join(' > ');
      throw BricksError.of('GRAPH_CYCLE', { brick: node.descriptor.name, path });
    }
    if (!this.#links.has(node)) {
      this.#links.set(node, link);
      this.#nodes.push(node);
      if (this.#nodes.length > abi.bricksMax) {
        const value = this.#nodes.length;
        throw BricksError.of('LIMIT_EXCEEDED', { what: 'bricks of one engine', value, min: 1, max: abi.bricksMax });
      }
    }
    for (const child of node.children) this.#collect(child, link, [...above, node]);
  }

  #driver(name: string): DriverInfo | undefined {
    return this.#context.drivers.find((driver) => driver.name === name);
  }

  /** Plans every input port; returns the pipes that bricks read, by name. */
  #connectInputs(): Map<string, PlannedInput> {
    const consumers = new Map<string, PlannedInput>();
    const seen = new Map<string, PlannedInput[]>();
    this.#nodes.forEach((node, brick) => {
      const { inputDriver, nominalInputs } = node.descriptor;
      for (const text of nominalInputs ? node.inputs.slice(0, 1) : node.inputs) {
        const port = parsePortName(text, this.#context.drivers, inputDriver);
        const planned = this.#port(port, this.#driverName(port, inputDriver, 'inject'), 'input');
        const input = { ...planned, brick, queueId: queueId(planned, this.#links.get(node)) };
        const key = portKey(input);
        const same = seen.get(key) ?? [];
        if (same.some((other) => readsSame(input, other))) throw BricksError.of('INPUT_TWICE', { port: text });
        seen.set(key, [...same, input]);
        if (port.pipe === undefined || planned.names !== 'pipe') {
          this.#inputs.push(input);
        } else if (port.pipe.end === '{') {
          const other = `${port.name}}${port.pipe.number}`;
          throw BricksError.of('PIPE_END', {
            port: text,
            problem: 'an input is the end of a pipe that is read',
            other,
          });
        } else {
          consumers.set(pipeName(port), input);
        }
      }
    });
    return consumers;
  }

  /** Plans every output port: edges to the bricks that read it, pipes, files and interfaces. */
  #connectOutputs(consumers: Map<string, PlannedInput>): void {
    const seen = new Map<string, BrickNode>();
    const stems = new Set<string>();
    const pipesOf = new Map(
      this.#inputs.filter(({ driver }) => this.#driver(driver)?.pipes).map(({ name, driver }) => [name, driver]),
    );
    this.#nodes.forEach((node, brick) => {
      node.outputs.forEach((text, output) => {
        const port = parsePortName(text, this.#context.drivers, node.descriptor.outputDriver);
        // Read by a brick of this engine, it is a pipe's name and no pipe.
        const isEdge = port.pipe !== undefined && consumers.has(pipeName(port));
        const pipeDriver = (isEdge || port.pipe?.end === '}' ? undefined : pipesOf.get(port.name)) ?? 'pipe';
        const driver = this.#driverName(port, node.descriptor.outputDriver, pipeDriver);
        const planned = this.#port(port, driver, 'output');
        const key = portKey(planned);
        const other = seen.get(key);
        if (other !== undefined && planned.names !== 'nothing') {
          throw BricksError.of('OUTPUT_TWICE', { port: text, brick: other.descriptor.name });
        }
        seen.set(key, node);
        if (port.pipe?.end === '}' && planned.names === 'pipe') {
          const engineEnd = `${port.name}{${port.pipe.number}`;
          throw BricksError.of('PIPE_END', {
            port: text,
            problem: "an output is the engine's end of a pipe",
            other: engineEnd,
          });
        }
        if (port.pipe !== undefined) stems.add(port.name);
        const consumer = isEdge && planned.names === 'pipe' ? consumers.get(pipeName(port)) : undefined;
        if (consumer === undefined) {
          this.#outputs.push({ ...planned, brick, output });
        } else {
          this.#edges.push({ from: brick, output, to: consumer.brick });
          consumers.delete(pipeName(port));
        }
      });
    });
    this.#connectWriters([...consumers.values()], stems);
  }

  /**
   * A pipe that no brick feeds is one that an application writes. But one of a name that bricks' outputs have is a slip:
   * a wrong number, or a brick that is not linked.
   */
  #connectWriters(inputs: readonly PlannedInput[], stems: ReadonlySet<string>): void {
    for (const input of inputs) {
      if (stems.has(input.name.replace(/\}\d+$/, ''))) {
        throw BricksError.of('PIPE_INPUT', { port: input.text, other: input.text.replace(/\}(\d+)/, '{$1') });
      }
      this.#inputs.push(input);
    }
  }

  /** Bricks whose packets visit a program: an output behind the user's, and an input. */
  #connectCompanions(): void {
    this.#nodes.forEach((node, brick) => {
      const { companion } = node.descriptor;
      if (companion === undefined) return;
      const name = companionName(this.#context.engine, node.descriptor.name, this.#companions.length);
      const [there, back] = [`${name}}0`, `${name}}1`];
      const options = companion.pipeOptions(node.options);
      this.#companions.push({ node, name, output: this.#outputs.length });
      this.#outputs.push({
        text: there,
        driver: 'pipe',
        names: 'pipe',
        name: there,
        options: [...options, 'wait=1'].join('&'),
        brick,
        output: node.outputs.length,
      });
      this.#inputs.push({
        text: back,
        driver: 'inject',
        names: 'pipe',
        name: back,
        options: [...options, 'marks=1'].join('&'),
        brick,
        queueId: undefined,
      });
    });
    this.#checkCounts();
  }

  #checkCounts(): void {
    const ports = this.#inputs.length + this.#outputs.length;
    if (ports > abi.portsMax) {
      throw BricksError.of('LIMIT_EXCEEDED', { what: 'ports of one engine', value: ports, min: 1, max: abi.portsMax });
    }
    const pipes = [...this.#inputs, ...this.#outputs].filter(({ names }) => names === 'pipe').length;
    if (pipes > abi.pipesMax) {
      throw BricksError.of('LIMIT_EXCEEDED', { what: 'pipes', value: pipes, min: 0, max: abi.pipesMax });
    }
  }

  /**
   * Which driver a name means.
   *
   * @param pipeDriver the one of pipes that the name says no other driver of
   */
  #driverName(port: PortName, ownDriver: string | undefined, pipeDriver: string): string {
    const saysPipe = port.driver === undefined || port.driver === 'pipe';
    if (port.pipe === undefined || !saysPipe) return port.driver ?? ownDriver ?? this.#context.defaultDriver;
    return pipeDriver === 'inject' || port.driver === undefined ? pipeDriver : port.driver;
  }

  /** What the driver is to open, with checked options. */
  #port(port: PortName, driverName: string, side: 'input' | 'output'): PlannedPort {
    const driver = this.#driver(driverName);
    if (driver === undefined) {
      const have = this.#context.drivers.map(({ name }) => name).join(', ');
      throw BricksError.of('DRIVER_UNKNOWN', { port: port.text, driver: driverName, have });
    }
    const { names } = driver;
    if (!(side === 'input' ? driver.input : driver.output)) {
      const others = this.#context.drivers.filter((other) => (side === 'input' ? other.input : other.output));
      const hint = `drivers that can: ${others.map((other) => other.name).join(', ')}`;
      throw BricksError.of('DRIVER_DIRECTION', { port: port.text, driver: driverName, side, hint });
    }
    if (names === 'pipe' && port.pipe === undefined) {
      throw BricksError.of('PORT_NAME_INVALID', { port: port.text, problem: 'a pipe needs a brace and a number' });
    }
    if (port.pipe !== undefined && names !== 'pipe' && !driver.pipes) {
      throw BricksError.of('PORT_NAME_INVALID', { port: port.text, problem: `driver "${driverName}" has no pipes` });
    }
    const checked = checkOptions(`port "${port.text}"`, driver.options, port.options);
    const name = plainName(port, names);
    checkNameLength(port.text, name, names);
    // As checked, not as written: the data plane must not read a number in another way.
    const options = Object.keys(port.options).map((key) => `${key}=${optionText(checked[key])}`);
    return { text: port.text, driver: driverName, names, name, options: options.join('&') };
  }

  /** Bricks so that each comes after those that feed it. */
  #sorted(): number[] {
    const order: number[] = [];
    const state = new Map<number, 'open' | 'done'>();
    const visit = (brick: number, path: readonly number[]): void => {
      if (state.get(brick) === 'done') return;
      if (state.get(brick) === 'open') {
        const names = [...path.slice(path.indexOf(brick)), brick].map((i) => this.#nodes[i]?.descriptor.name);
        throw BricksError.of('GRAPH_CYCLE', { brick: names[0] ?? '', path: names.join(' > ') });
      }
      state.set(brick, 'open');
      for (const edge of this.#edges) if (edge.from === brick) visit(edge.to, [...path, brick]);
      state.set(brick, 'done');
      order.unshift(brick);
    };
    this.#nodes.forEach((_, brick) => {
      visit(brick, []);
    });
    return order;
  }

  /** For each brick, how many bricks above it chose by the flow hash. */
  #depths(order: readonly number[]): number[] {
    const depths = this.#nodes.map(() => 0);
    for (const brick of order) {
      const below = (depths[brick] ?? 0) + (this.#nodes[brick]?.descriptor.splitsByHash ? 1 : 0);
      for (const edge of this.#edges) {
        if (edge.from === brick) depths[edge.to] = Math.max(depths[edge.to] ?? 0, below);
      }
    }
    return depths;
  }
}

/** A checked option's value as the data plane takes it: numbers in decimal, 0 or 1, strings as written. */
function optionText(value: OptionValue | undefined): string {
  return typeof value === 'boolean' ? String(Number(value)) : String(value);
}

function checkCount(node: BrickNode, side: 'inputs' | 'outputs', count: number, allowed: PortCount): void {
  if (count >= allowed.min && count <= allowed.max) return;
  const method = side === 'inputs' ? 'connect_input' : 'connect_output';
  const details = { brick: node.descriptor.name, count, side, min: allowed.min, max: allowed.max, method };
  throw BricksError.of('BRICK_PORTS', details);
}

/** The name as the data plane takes it: pipes of this program have one name, that of the application's end. */
function plainName(port: PortName, names: NamedThing): string {
  if (port.pipe === undefined) return port.name;
  return names === 'pipe' ? pipeName(port) : `${port.name}${port.pipe.end}${port.pipe.number}`;
}

/** The receive queue of a port: as its option says, else as its brick was linked. */
function queueId({ names, options }: PlannedPort, link: Link | undefined): number | undefined {
  if (!haveQueues.includes(names)) return undefined;
  return wholeOption(options, 'queue') ?? link?.queueId;
}

function checkNameLength(text: string, name: string, names: NamedThing): void {
  const max = names === 'pipe' ? abi.pipeNameMax : abi.portNameMax;
  const value = Buffer.byteLength(name);
  if (name === '' && names !== 'nothing') {
    throw BricksError.of('PORT_NAME_INVALID', { port: text, problem: 'the name is empty' });
  }
  if (value > max) {
    throw BricksError.of('LIMIT_EXCEEDED', { what: `port "${text}": bytes in its name`, value, min: 1, max });
  }
}
