// Filter: packets that an expression matches go to output 0, the others to output 1 or nowhere. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'Filter',
  text: 'packets that an expression matches go to output 0, the others to output 1, where there is one',
  options: {
    expr: { type: 'string', default: '', text: 'what matches, in the language of pcap-filter(7); none: everything' },
  },
  argument: 'expr',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax },
  pack: () => new Uint8Array(),
};
