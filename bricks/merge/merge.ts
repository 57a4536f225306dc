// Merge: brings the traffic of several inputs together, in order of arrival. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'Merge',
  text: 'brings the traffic of its inputs together in one output',
  options: {},
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: 1 },
  pack: () => new Uint8Array(),
};
