// Filter: packets that an expression matches go to output 0, the others to output 1 or nowhere; rules that come and go
// while the engine runs are asked first. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';
import { commands } from './rules.ts';

const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array | Uint32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

export const descriptor: BrickDescriptor = {
  name: 'Filter',
  text: 'packets that an expression matches go to output 0, the others to output 1, where there is one',
  options: {
    expr: { type: 'string', default: '', text: 'what matches, in the language of pcap-filter(7); none: everything' },
    clock: {
      type: 'string',
      default: 'wall',
      values: ['wall', 'packet'],
      text: 'what rules begin and end by: "wall", the time of day; "packet", the timestamps of packets',
    },
  },
  argument: 'expr',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax },
  copies: true,
  commands,
  pack({ clock, expr }) {
    return Buffer.concat([Uint32Array.of(clock === 'packet' ? 1 : 0), Buffer.from(String(expr))].map(bytesOf));
  },
};
