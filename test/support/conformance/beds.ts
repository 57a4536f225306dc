// The table of beds: what is said of each driver is what its users are told.
import { join } from 'node:path';
import { makeBpfCount } from '../bpf_objects.ts';
import { makeNetmapStandIn } from '../netmap.ts';
import { skipLive } from '../netns.ts';
import { type Bed, frameBytes, skipDriver, skipUnbuilt } from './bed.ts';
import { thousandStarts } from './cycles.ts';
import { mtuOf, OwnInterfacePlace, VethPlace } from './interface_places.ts';
import { MemifPlace } from './memif_place.ts';
import { PcapPlace } from './pcap_place.ts';

const headerBytes = 14;
/** The longest frame on a live port. */
const liveBytesMax = 65535;
/** With the usual MTU of 9000. */
const jumboBytes = 9014;

/** What every driver of interfaces does. */
const interfaces = {
  bytesMin: headerBytes,
  bytesMax: liveBytesMax,
  keepsServiceTags: true,
  isTwoWay: true,
  countsLost: true,
  refusal: /^(EPERM|EACCES)$/,
  cycles: thousandStarts,
} as const;

export const packetBed: Bed = {
  ...interfaces,
  name: 'packet',
  driver: 'packet',
  peersFirst: true,
  missing: { port: 'packet:none0', code: /^ENODEV$/ },
  skip: () => skipLive() || skipDriver('packet'),
  make: async (t) => new VethPlace(t, { port: (name) => `packet:${name}` }),
};

export const tapBed: Bed = {
  ...interfaces,
  name: 'tap',
  driver: 'tap',
  peersFirst: false,
  missing: { port: 'tap:lo', code: /^EINVAL$/ },
  exclusive: 'input',
  // The kernel takes 20 ms to remove an interface that is gone with its descriptor.
  cycles: { engines: 30, starts: 10 },
  skip: () => skipLive() || skipDriver('tap'),
  make: async (t) =>
    new OwnInterfacePlace(t, {
      port: (name, _role, bytes) => `tap:${name}?mtu=${mtuOf(bytes)}`,
      name: (wire) => `tap${wire}`,
      make: (name, bytes) => `ip tuntap add ${name} mode tap; ip link set ${name} mtu ${mtuOf(bytes)} up`,
      remove: (name) => `ip tuntap del ${name} mode tap`,
    }),
};

export const vethBed: Bed = {
  ...interfaces,
  name: 'veth',
  driver: 'veth',
  peersFirst: false,
  missing: { port: 'veth:lo', code: /^EEXIST$/ },
  skip: () => skipLive() || skipDriver('veth'),
  make: async (t) =>
    new OwnInterfacePlace(t, {
      port: (name, _role, bytes) => `veth:${name}?mtu=${mtuOf(bytes)}`,
      name: (wire) => `bro${wire}`,
      inner: (name) => `${name}-in`,
      make: (name, bytes) => {
        const mtu = `mtu ${mtuOf(bytes)}`;
        return `ip link add ${name} ${mtu} type veth peer name ${name}-in ${mtu}; ip link set ${name} up; ip link set ${name}-in up`;
      },
      remove: (name) => `ip link delete ${name}`,
    }),
};

export const pcapBed: Bed = {
  name: 'pcap',
  driver: 'pcap',
  peersFirst: true,
  bytesMin: headerBytes,
  bytesMax: 262_144,
  keepsServiceTags: true,
  isTwoWay: false,
  countsLost: true,
  noRestart: 'a capture is read from its beginning by each start',
  missing: { port: `pcap:${join('/none', 'none.pcap')}`, code: /^ENOENT$/ },
  refusal: /^EACCES$/,
  cycles: thousandStarts,
  skip: () => skipDriver('pcap'),
  make: async (t) => new PcapPlace(t),
};

export const xdpBed: Bed = {
  ...interfaces,
  name: 'xdp',
  driver: 'xdp',
  peersFirst: true,
  bytesMax: jumboBytes,
  missing: { port: 'xdp:none0', code: /^ENODEV$/ },
  exclusive: 'input',
  // The kernel gives a queue free some time after its socket was closed.
  cycles: { engines: 40, starts: 10 },
  skip: () => skipLive() || skipDriver('xdp'),
  make: async (t) => new VethPlace(t, { port: (name) => `xdp:${name}`, held: makeBpfCount(t) }),
};

export const dpdkBed: Bed = {
  ...interfaces,
  name: 'dpdk, net_af_packet',
  driver: 'dpdk',
  peersFirst: true,
  bytesMax: jumboBytes,
  // DPDK's net_af_packet puts tags back as 0x8100 whatever they were, and asks the kernel for no losses.
  keepsServiceTags: false,
  countsLost: false,
  missing: { port: 'dpdk:net_none0', code: /^(ENODEV|ENOENT)$/ },
  skip: () => skipLive() || skipDriver('dpdk'),
  make: async (t) => {
    const device = (name: string, wire: number): string =>
      `net_af_packet${wire},iface=${name},framesz=16384,blocksz=65536,framecnt=512`;
    return new VethPlace(t, {
      port: (name, _role, _bytes, wire) => `dpdk:${device(name, wire)}?mbuf_bytes=16384`,
      name: device,
    });
  },
};

/** Beds of memif: the engine has one role, testpmd the other. */
const memif = {
  ...interfaces,
  driver: 'memif',
  bytesMax: jumboBytes,
  // testpmd's ends of the wires are DPDK's net_af_packet.
  keepsServiceTags: false,
  countsLost: false,
  noRestart: 'testpmd does not survive that its peer leaves while it sends',
  skip: () => skipLive('dpdk-testpmd') || skipDriver('memif'),
} as const;

export const memifServerBed: Bed = {
  ...memif,
  name: 'memif, testpmd is the client',
  peersFirst: false,
  peersLast: true,
  missing: { port: 'memif:/none/none.sock?role=server', code: /^ENOENT$/ },
  make: async (t) => new MemifPlace(t, 'server'),
};

export const memifClientBed: Bed = {
  ...memif,
  name: 'memif, testpmd is the server',
  peersFirst: true,
  missing: { port: 'memif:/none/none.sock?role=client', code: /^ENOENT$/ },
  make: async (t) => new MemifPlace(t, 'client'),
};

export const netmapBed: Bed = {
  ...interfaces,
  name: 'netmap, the stand-in',
  driver: 'netmap',
  peersFirst: true,
  // A buffer of netmap's has 2048 bytes.
  bytesMax: frameBytes,
  // The stand-in's NIC is a raw socket, whose losses no netmap application is told of.
  countsLost: false,
  missing: { port: 'netmap:none0', code: /^(ENXIO|ENODEV)$/ },
  skip: () => skipLive('make', 'cc') || skipUnbuilt('netmap'),
  make: async (t) => {
    const { env, violations } = makeNetmapStandIn(t);
    return new VethPlace(t, { port: (name) => `netmap:${name}`, env, leftovers: violations });
  },
};
