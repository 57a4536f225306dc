// PcapReader: plays a capture, or a directory of them, into its outputs. See README.md.
import { abi } from '../../engine/abi.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

export const descriptor: BrickDescriptor = {
  name: 'PcapReader',
  text: 'reads a capture file, or a directory of them, and splits it over its outputs by flow',
  options: {},
  inputs: { min: 1, max: 2 },
  outputs: { min: 1, max: abi.outputsMax },
  inputDriver: 'pcap',
  nominalInputs: true,
  splitsByHash: true,
  pack: () => new Uint8Array(),
};
