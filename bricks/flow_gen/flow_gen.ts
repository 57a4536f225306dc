// FlowGen: writes the flow into the MAC addresses, for switches to deliver it to its worker. See README.md.
import { randomInt } from 'node:crypto';
import { abi } from '../../engine/abi.ts';
import { BricksError } from '../../engine/errors.ts';
import type { BrickDescriptor } from '../../engine/graph.ts';

const idMax = 0xffffff;
/** In the first two bytes of a MAC address: it is for a group, so that switches flood it. */
const groupBit = 0x0100;

export const descriptor: BrickDescriptor = {
  name: 'FlowGen',
  text: 'writes each flow into the MAC addresses, so that switches deliver it to its worker',
  options: {
    id: {
      type: 'integer',
      min: 0,
      max: idMax,
      text: 'the last three bytes of source addresses, by which workers tell generators apart',
    },
    hash: {
      type: 'string',
      default: 'rss',
      values: ['rss', 'toeplitz'],
      text: "rss: the network card's hash where it computes one, else toeplitz; toeplitz: computed here",
    },
    tuple: {
      type: 'integer',
      default: 2,
      values: [2, 4],
      text: 'what the hash computed here is over: 2 addresses; 4 addresses and ports',
    },
    prefix: {
      type: 'integer',
      default: 0xbeef,
      min: 0,
      max: 0xffff,
      text: 'the first two bytes of destination addresses (48879 is 0xBEEF), without the group bit 0x0100',
    },
    macs: {
      type: 'string',
      default: 'drop',
      values: ['drop', 'trailer'],
      text: 'the original addresses. drop: they are gone; trailer: they are appended to the frame',
    },
  },
  argument: 'id',
  inputs: { min: 1, max: abi.portsMax },
  outputs: { min: 1, max: 1 },
  complete(options) {
    const prefix = Number(options.prefix);
    if ((prefix & groupBit) !== 0) {
      const value = `0x${prefix.toString(16)}`;
      const allowed = 'without bit 0x0100: that is a group address, which switches flood';
      throw BricksError.of('OPTION_INVALID', { what: 'brick "FlowGen"', option: 'prefix', value, allowed });
    }
    return { ...options, id: options.id ?? randomInt(idMax + 1) };
  },
  greeting: ({ id }) => `Flowgen id: ${id}`,
  pack({ id, tuple, prefix, hash, macs }) {
    const config = new Uint8Array(12);
    new Uint32Array(config.buffer, 0, 2).set([Number(id), Number(tuple)]);
    new Uint16Array(config.buffer, 8, 1).set([Number(prefix)]);
    config.set([hash === 'toeplitz' ? 1 : 0, macs === 'trailer' ? 1 : 0], 10);
    return config;
  },
};
