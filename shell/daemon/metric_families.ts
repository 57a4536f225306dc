// What the daemon tells Prometheus: every counter of engines, ports and bricks, as families of samples. Names follow
// prometheus.io/docs/practices/naming: a prefix, what is counted, its unit, and _total for what only grows.
//
// metrics.ts serves them, METRICS.md lists them, and a test holds the two together. Counters that a driver or a brick
// brings are taken from its own table in C: a new one is served without a change here.
import { applicationPid, type BrickStats, type PortStats } from '../../engine/counters.ts';
import { type CounterDescription, drivers, nativeBricks } from '../../engine/drivers.ts';
import type { EngineSnapshot } from '../../engine/snapshot.ts';
import type { Snapshot } from '../protocol/messages.ts';

type Labels = Readonly<Record<string, string>>;

/** One value of a family. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Values of one meaning, told apart by labels. */
export interface MetricFamily {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly text: string;
  readonly labels: readonly string[];
  samples(rows: Rows): readonly Sample[];
}

interface Row<T> {
  readonly labels: Labels;
  readonly of: T;
}

/** A snapshot, flat, with the labels of each thing in it. */
export interface Rows {
  readonly daemon: readonly Row<Snapshot>[];
  readonly engines: readonly Row<EngineSnapshot>[];
  readonly ports: readonly Row<PortStats>[];
  readonly bricks: readonly Row<BrickStats>[];
}

/** Names of one engine's things; where several are the same (null: ports, two bricks of a type) each with its place. */
function distinct(names: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const places = new Map<string, number>();
  return names.map((name) => {
    if (counts.get(name) === 1) return name;
    const place = places.get(name) ?? 0;
    places.set(name, place + 1);
    return `${name}#${place}`;
  });
}

function portRows({ stats }: EngineSnapshot): Row<PortStats>[] {
  const { engine, ports } = stats;
  return (['input', 'output'] as const).flatMap((role) => {
    const own = ports.filter((port) => port.role === role);
    const names = distinct(own.map(({ port }) => port));
    return own.map((port, i) => ({ labels: { engine, driver: port.driver, port: names[i] ?? '', role }, of: port }));
  });
}

function brickRows({ stats }: EngineSnapshot): Row<BrickStats>[] {
  const names = distinct(stats.bricks.map(({ brick }) => brick));
  return stats.bricks.map((brick, i) => ({ labels: { engine: stats.engine, brick: names[i] ?? '' }, of: brick }));
}

export function rowsOf(snapshot: Snapshot): Rows {
  const { engines } = snapshot;
  return {
    daemon: [{ labels: {}, of: snapshot }],
    engines: engines.map((engine) => ({ labels: { engine: engine.stats.engine }, of: engine })),
    ports: engines.flatMap(portRows),
    bricks: engines.flatMap(brickRows),
  };
}

/** One value for each thing of a level, or none; or several, told apart by more labels. */
type Read<T> = (thing: T) => number | undefined | readonly Sample[];

function family<T>(
  level: { readonly rows: (rows: Rows) => readonly Row<T>[]; readonly labels: readonly string[] },
  type: MetricFamily['type'],
  name: string,
  text: string,
  read: Read<T>,
  moreLabels: readonly string[] = [],
): MetricFamily {
  const samples = (rows: Rows): Sample[] =>
    level.rows(rows).flatMap(({ labels, of }) => {
      const values = read(of);
      if (values === undefined) return [];
      if (typeof values === 'number') return [{ labels, value: values }];
      return values.map((sample) => ({ labels: { ...labels, ...sample.labels }, value: sample.value }));
    });
  return { name: `bricks_${name}`, type, text, labels: [...level.labels, ...moreLabels], samples };
}

const daemonLevel = { rows: (rows: Rows) => rows.daemon, labels: [] };
const engineLevel = { rows: (rows: Rows) => rows.engines, labels: ['engine'] };
const portLevel = { rows: (rows: Rows) => rows.ports, labels: ['engine', 'driver', 'port', 'role'] };
const brickLevel = { rows: (rows: Rows) => rows.bricks, labels: ['engine', 'brick'] };

function byLabel(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([key, value]) => ({ labels: { [label]: key }, value }));
}

const states: readonly EngineSnapshot['stats']['state'][] = ['running', 'finished', 'stopped'];

const daemonFamilies: readonly MetricFamily[] = [
  family(daemonLevel, 'gauge', 'build_info', 'always 1; the version is a label', readVersion, ['version']),
  family(
    daemonLevel,
    'gauge',
    'start_time_seconds',
    'when the daemon was started, since 1970',
    (d) => d.startedMs / 1000,
  ),
  family(daemonLevel, 'gauge', 'clients', 'clients of the control socket', ({ clients }) => clients),
  family(daemonLevel, 'gauge', 'engines', 'engines there are', ({ engines }) => engines.length),
  family(daemonLevel, 'gauge', 'application_info', 'always 1; programs at the ends of pipes', readApplications, [
    'pid',
    'program',
  ]),
];

function readVersion({ version }: Snapshot): Sample[] {
  return [{ labels: { version }, value: 1 }];
}

function readApplications({ applications }: Snapshot): Sample[] {
  return Object.entries(applications).map(([pid, program]) => ({ labels: { pid, program }, value: 1 }));
}

/** Counters of an engine that are neither its ports' nor its bricks': native/engine/describe.c has their texts. */
const engineOthers: readonly (readonly [type: MetricFamily['type'], key: string, name: string, text: string])[] = [
  ['gauge', 'sources_left', 'sources_left', 'captures and other pausable inputs that have packets left'],
  ['gauge', 'undelivered_ports', 'undelivered_ports', 'outputs whose reader has packets to fetch'],
  ['counter', 'turns', 'turns_total', 'turns of the loop that moved packets'],
  ['counter', 'sleeps', 'sleeps_total', 'times that the engine slept'],
];

const engineFamilies: readonly MetricFamily[] = [
  family(
    engineLevel,
    'gauge',
    'engine_state',
    '1 for the state that the engine is in, 0 for the others',
    ({ stats }) => states.map((state) => ({ labels: { state }, value: stats.state === state ? 1 : 0 })),
    ['state'],
  ),
  family(engineLevel, 'counter', 'engine_received_packets_total', 'received by its inputs', (e) => e.stats.rxPackets),
  family(
    engineLevel,
    'counter',
    'engine_received_bytes_total',
    'received, lengths on the wire',
    (e) => e.stats.rxBytes,
  ),
  family(engineLevel, 'counter', 'engine_sent_packets_total', 'sent by its outputs', (e) => e.stats.txPackets),
  family(engineLevel, 'counter', 'engine_sent_bytes_total', 'sent, lengths on the wire', (e) => e.stats.txBytes),
  family(
    engineLevel,
    'counter',
    'engine_copied_packets_total',
    'made by sending one packet to several outputs',
    (e) => e.stats.copies,
  ),
  family(
    engineLevel,
    'counter',
    'engine_dropped_packets_total',
    'received and not sent, over all its ports and bricks',
    ({ stats }) => byLabel('reason', stats.drops),
    ['reason'],
  ),
  family(
    engineLevel,
    'counter',
    'engine_lost_packets_total',
    'lost before its inputs received them',
    (e) => e.stats.lost,
  ),
  family(
    engineLevel,
    'gauge',
    'engine_in_flight_packets',
    'received, neither sent nor dropped yet',
    (e) => e.stats.inFlight,
  ),
  ...engineOthers.map(([type, key, name, text]) =>
    family(engineLevel, type, `engine_${name}`, text, ({ stats }) => stats.others[key]),
  ),
];

/** A value that only ports of a role have. */
function ofRole(role: PortStats['role'], read: (port: PortStats) => number): Read<PortStats> {
  return (port) => (port.role === role ? read(port) : undefined);
}

const portFamilies: readonly MetricFamily[] = [
  family(
    portLevel,
    'counter',
    'port_received_packets_total',
    'received by an input',
    ofRole('input', (port) => port.rxPackets),
  ),
  family(
    portLevel,
    'counter',
    'port_received_bytes_total',
    'received by an input, lengths on the wire',
    ofRole('input', (port) => port.rxBytes),
  ),
  family(
    portLevel,
    'counter',
    'port_sent_packets_total',
    'sent by an output',
    ofRole('output', (port) => port.txPackets),
  ),
  family(
    portLevel,
    'counter',
    'port_sent_bytes_total',
    'sent by an output, lengths on the wire',
    ofRole('output', (port) => port.txBytes),
  ),
  family(
    portLevel,
    'gauge',
    'port_in_flight_packets',
    'accepted by the port, neither sent nor dropped yet',
    (port) => port.inFlight,
  ),
  family(
    portLevel,
    'counter',
    'port_dropped_packets_total',
    'dropped by the port',
    (port) => byLabel('reason', port.drops),
    ['reason'],
  ),
  family(
    portLevel,
    'counter',
    'port_lost_packets_total',
    'lost before the port received them',
    (port) => byLabel('reason', port.lost),
    ['reason'],
  ),
  family(
    portLevel,
    'counter',
    'port_device_total',
    'what the device of the port counts itself, by its own names',
    ({ device }) => device && byLabel('counter', device),
    ['counter'],
  ),
  family(portLevel, 'gauge', 'pipe_applications', 'applications that are attached now', (port) => {
    const pid = applicationPid(port);
    return pid === undefined ? undefined : Number(pid > 0);
  }),
];

const brickFamilies: readonly MetricFamily[] = [
  family(brickLevel, 'counter', 'brick_received_packets_total', 'received by the brick', (brick) => brick.rxPackets),
  family(brickLevel, 'counter', 'brick_sent_packets_total', 'sent, over all its outputs', (brick) => brick.txPackets),
  family(
    brickLevel,
    'counter',
    'brick_copied_packets_total',
    'made by sending one packet to several outputs',
    (brick) => brick.copies,
  ),
  family(
    brickLevel,
    'counter',
    'brick_dropped_packets_total',
    'dropped by the brick',
    (brick) => byLabel('reason', brick.drops),
    ['reason'],
  ),
  family(
    brickLevel,
    'counter',
    'brick_output_packets_total',
    'sent to one output, counted from 0',
    (brick) => byLabel('output', Object.fromEntries(brick.outputs.entries())),
    ['output'],
  ),
];

/** Units that belong into a name; others, such as "readers", only say what an event is about. */
const baseUnits = ['packets', 'bytes', 'files'];

/** `pipe`, `unread` in packets: `pipe_unread_packets_total`. */
function ownName(owner: string, { name, unit, kind }: CounterDescription): string {
  const snake = owner.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
  const suffix = baseUnits.includes(unit) && !name.split('_').includes(unit) ? `_${unit}` : '';
  return `${snake}_${name}${suffix}${kind === 'total' ? '_total' : ''}`;
}

/** The counters of a driver's or a brick's own; drops and losses are reasons in the families above. */
function ownFamilies<T extends PortStats | BrickStats>(
  level: Parameters<typeof family<T>>[0],
  owner: { readonly name: string; readonly counters: readonly CounterDescription[] },
  isOwned: (thing: T) => boolean,
): MetricFamily[] {
  return owner.counters
    .filter(({ kind }) => kind === 'total' || kind === 'gauge')
    .map((counter) =>
      family(
        level,
        counter.kind === 'total' ? 'counter' : 'gauge',
        ownName(owner.name, counter),
        counter.text,
        (thing: T) => (isOwned(thing) ? thing.others[counter.name] : undefined),
      ),
    );
}

/** The counters of a brick's own of each of its outputs. */
function outputFamilies({ name, outputCounters }: (typeof nativeBricks)[number]): MetricFamily[] {
  return outputCounters.map((counter) =>
    family(
      brickLevel,
      counter.kind === 'total' ? 'counter' : 'gauge',
      ownName(`${name}_output`, counter),
      counter.text,
      ({ brick, outputOthers }: BrickStats) =>
        brick === name
          ? byLabel('output', Object.fromEntries((outputOthers[counter.name] ?? []).entries()))
          : undefined,
      ['output'],
    ),
  );
}

/** All of them, in the order of METRICS.md. */
export const metricFamilies: readonly MetricFamily[] = [
  ...daemonFamilies,
  ...engineFamilies,
  ...portFamilies,
  ...drivers.flatMap((driver) => ownFamilies(portLevel, driver, (port: PortStats) => port.driver === driver.name)),
  ...brickFamilies,
  ...nativeBricks.flatMap((native) =>
    ownFamilies(brickLevel, native, (brick: BrickStats) => brick.brick === native.name),
  ),
  ...nativeBricks.flatMap(outputFamilies),
];
