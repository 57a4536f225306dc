// LoadBalancer: splits traffic over its outputs so that each connection stays together. See README.md.
import { abi } from '../../engine/abi.ts';
import { BricksError, shownValue } from '../../engine/errors.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';
import type { Options } from '../../engine/options.ts';

/** In the order of enum pb_load_balancer_hash. */
const hashes = ['symmetric', 'toeplitz', 'nic'];

/** As load_balancer.c reads them: six numbers, then the weights. */
function pack({ tuple, hash, tunnel, fragments, on_dead, weights }: Options): Uint8Array {
  const shares = Array.isArray(weights) ? weights : [];
  const numbers = [
    Number(tuple),
    hashes.indexOf(String(hash)),
    Number(tunnel === 'inner'),
    Number(fragments),
    Number(on_dead === 'rehash'),
    shares.length,
  ];
  return Buffer.concat([Buffer.from(Uint32Array.from(numbers).buffer), Buffer.from(Float64Array.from(shares).buffer)]);
}

/** Weights are one for each output, and one of them is more than 0. */
function misfit({ weights }: Options, outputs: number): ReturnType<NonNullable<BrickDescriptor['misfit']>> {
  if (!Array.isArray(weights) || (weights.length === outputs && weights.some((weight) => weight > 0))) return undefined;
  return { option: 'weights', allowed: `one number for each of its ${outputs} outputs, not all 0` };
}

/** The card hashes what it sees: neither what tunnels carry, nor the ports of a later fragment. */
function complete(options: Options): Options {
  if (options.hash !== 'nic') return options;
  for (const [option, allowed] of Object.entries({ tunnel: 'outer', fragments: 0 })) {
    if (options[option] === allowed) continue;
    throw BricksError.of('OPTION_INVALID', {
      what: 'brick "LoadBalancer"',
      option,
      value: shownValue(options[option]),
      allowed: `${shownValue(allowed)} with hash = "nic": the network card does not look further`,
    });
  }
  return options;
}

export const descriptor: BrickDescriptor = {
  name: 'LoadBalancer',
  text: 'splits traffic over its outputs, both directions of a connection to the same one',
  options: {
    tuple: {
      type: 'integer',
      default: 4,
      values: [2, 4, 5],
      text: 'what keeps packets together: 2 addresses; 4 addresses and ports; 5 also the protocol',
    },
    hash: {
      type: 'string',
      default: 'symmetric',
      values: hashes,
      text: "how an output is chosen: evenly; as packet-bricks does; or evenly by the network card's hash, where it gives one",
    },
    tunnel: {
      type: 'string',
      default: 'outer',
      values: ['outer', 'inner'],
      text: "which headers count: a packet's own, or the innermost, seen through tunnels",
    },
    fragments: {
      type: 'integer',
      default: 0,
      min: 0,
      max: abi.fragmentsMax,
      unit: 'datagrams',
      text: 'how many fragmented datagrams at a time are kept with their flow, rounded up to a power of two; 0: none',
    },
    on_dead: {
      type: 'string',
      default: 'keep',
      values: ['keep', 'rehash'],
      text: 'what becomes of flows whose output nobody reads: they stay; or the outputs that are read share them',
    },
    weights: {
      type: 'list',
      min: 0,
      max: 1e6,
      text: 'shares of the flows, one number for each output; none given: all alike',
    },
  },
  argument: 'tuple',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: abi.outputsMax },
  splitsByHash: true,
  complete,
  misfit,
  pack,
};
