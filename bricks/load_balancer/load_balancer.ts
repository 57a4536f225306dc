// LoadBalancer: splits traffic over its outputs so that each connection stays together. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'LoadBalancer',
  text: 'splits traffic over its outputs, both directions of a connection to the same one',
  options: {
    tuple: {
      type: 'integer',
      default: 4,
      values: [2, 4],
      text: 'what keeps packets together: 2 addresses; 4 addresses, ports and protocol',
    },
  },
  argument: 'tuple',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax },
  splitsByHash: true,
  pack: (options) => new Uint8Array(Uint32Array.of(Number(options.tuple)).buffer),
};
