// Acts on a plan: makes the engine of the data plane with its ports, bricks and edges.

import * as native from './native.ts';
import type { Plan } from './plan.ts';

/** Makes an engine and its graph; returns its handle. Nothing is left behind when it throws. */
export function applyPlan(name: string, bufferSlots: number, cpu: number, plan: Plan): number {
  const engine = native.engineCreate(name, bufferSlots, cpu, plan.batchPackets);
  try {
    for (const { node, outputs, depth } of plan.bricks) {
      const { descriptor, options, control } = node;
      const config = descriptor.pack(options);
      native.engineAddBrick(engine, descriptor.name, config, control?.handle ?? 0, outputs, depth);
    }
    for (const edge of plan.edges) native.engineConnectBrick(engine, edge.from, edge.output, edge.to);
    for (const output of plan.outputs) {
      const port = native.engineAddOutput(engine, output.driver, output.name, output.options);
      native.engineConnectOutput(engine, output.brick, output.output, port);
    }
    for (const input of plan.inputs) {
      const port = native.engineAddInput(engine, input.driver, input.name, input.options, input.queueId ?? -1);
      native.engineConnectInput(engine, port, input.brick);
    }
    return engine;
  } catch (error) {
    native.engineDelete(engine);
    throw error;
  }
}
