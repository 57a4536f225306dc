// An engine at one moment: its counters and the graph they belong to, as dashboards and remote programs see it.
import type { EngineStats } from './counters.ts';
import type { Options } from './options.ts';
import type { PktEngine } from './pkt_engine.ts';
import type { Plan, PlannedPort } from './plan.ts';

/** A brick of the graph. `stats.bricks[i]` of a started engine holds its counters. */
export interface GraphBrick {
  readonly name: string;
  /** Options and their values, defaults included. */
  readonly options: Options;
}

/** Where an engine's packets go. Bricks are meant by their index in `bricks`. */
export interface Graph {
  readonly bricks: readonly GraphBrick[];
  /** Input ports and the bricks they feed: `stats.ports[i]` holds the counters of input i. */
  readonly inputs: readonly { readonly port: string; readonly brick: number }[];
  /** Outputs of bricks that feed other bricks of the engine. */
  readonly edges: readonly { readonly from: number; readonly output: number; readonly to: number }[];
  /** Output ports and what feeds them: `stats.ports[inputs.length + i]` holds the counters of output i. */
  readonly outputs: readonly { readonly port: string; readonly brick: number; readonly output: number }[];
}

/** One engine. */
export interface EngineSnapshot {
  /** `ports` and `bricks` are empty until the engine is started. */
  readonly stats: EngineStats;
  readonly graph: Graph;
  readonly batchPackets: number;
  /** Slots of 2048 bytes in each pipe. */
  readonly bufferSlots: number;
  /** The processor its thread is pinned to; -1: none. */
  readonly cpu: number;
}

function portText({ driver, name }: PlannedPort): string {
  return `${driver}:${name}`;
}

function graphOf(plan: Plan | undefined): Graph {
  return {
    bricks: (plan?.bricks ?? []).map(({ node }) => ({ name: node.descriptor.name, options: node.options })),
    inputs: (plan?.inputs ?? []).map((input) => ({ port: portText(input), brick: input.brick })),
    edges: plan?.edges ?? [],
    outputs: (plan?.outputs ?? []).map(({ brick, output, ...port }) => ({ port: portText(port), brick, output })),
  };
}

/** The engine now. */
export function snapshotOf(engine: PktEngine): EngineSnapshot {
  return {
    stats: engine.stats(),
    graph: graphOf(engine.plan),
    batchPackets: engine.batchPackets,
    bufferSlots: engine.bufferSlots,
    cpu: engine.cpu,
  };
}
