// PcapWriter: writes its input to a capture file. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'PcapWriter',
  text: 'writes every packet to a capture file',
  options: {},
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: 1 },
  outputDriver: 'pcap',
  pack: () => new Uint8Array(),
};
