// The TypeScript API: what `import … from 'packet-bricks'` gives.
export { Brick, type BrickArgument } from './bricks/brick.ts';
export { bricks } from './bricks/registry.ts';
export type { ScriptBatch, ScriptPacket } from './bricks/script/script_batch.ts';
export type { Application } from './engine/application.ts';
export type { BrickStats, EngineStats, PortStats } from './engine/counters.ts';
export {
  type DriverStatus,
  drivers,
  getDefaultDriver,
  probeDrivers,
  setDefaultDriver,
  setDpdkEal,
} from './engine/drivers.ts';
export { BricksError, type ErrorCode, errorTexts } from './engine/errors.ts';
export type { BrickDescriptor, BrickNode, PortCount } from './engine/graph.ts';
export type { OptionSchema, OptionSchemas, Options, OptionValue } from './engine/options.ts';
export type { Batch, Packet } from './engine/pipe/batch.ts';
export type { OpenOptions } from './engine/pipe/open.ts';
export { openPipe, type Pipe, type PipeCounts, type PipeOptions } from './engine/pipe/pipe.ts';
export {
  openPipeWriter,
  type PipeWriter,
  type Writable,
  type WriteOptions,
} from './engine/pipe/writer.ts';
export { type LinkOptions, PktEngine, type PktEngineOptions, setDefaultBatchPackets } from './engine/pkt_engine.ts';
export { onReport, type Report } from './engine/reports.ts';
export { version } from './package_info.ts';
