// Dummy: passes packets on untouched; what an engine costs without a brick's work. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'Dummy',
  text: 'passes every packet on untouched, to measure what an engine costs',
  options: {},
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: 1 },
  pack: () => new Uint8Array(),
};
