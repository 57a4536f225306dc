// Duplicator: sends every packet to each of its outputs. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'Duplicator',
  text: 'sends every packet to each of its outputs',
  options: {},
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax },
  copies: true,
  pack: () => new Uint8Array(),
};
