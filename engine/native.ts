// The only file that knows koffi: loads the data plane, checks that it fits, and gives each call a type.
//
// What crosses is plain integers, strings and buffers (never a pointer from JavaScript, never a callback):
// handles of engines and pipes are small integers with a generation that C verifies.
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import koffi from 'koffi';
import { buildNative, NativeBuildError, nativeFiles } from '../native/build.ts';
import { abi, abiFunctions, abiHash } from './abi.ts';
import { BricksError, errorText } from './errors.ts';

type AbiFunction = keyof typeof abiFunctions;
type Argument = string | number | Uint8Array;

function nativeFolder(): string {
  if (process.env.BRICKS_NATIVE_DIR !== undefined) return process.env.BRICKS_NATIVE_DIR;
  try {
    return buildNative();
  } catch (error) {
    if (error instanceof NativeBuildError) throw BricksError.of('NATIVE_MISSING', { problem: error.message });
    throw error;
  }
}

function loadLibrary(file: string): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(file);
  } catch (error) {
    const reason = errorText(error);
    throw BricksError.of('NATIVE_MISSING', { problem: `cannot load the native library: ${reason}; run npm run build` });
  }
}

const folder = nativeFolder();
// Kept for ever: koffi unloads a library whose handle is collected.
const library = loadLibrary(join(folder, nativeFiles.engine));

type NativeFunction = ReturnType<typeof library.func>;
const functions = new Map<AbiFunction, NativeFunction>();
for (const [name, { result, parameters }] of Object.entries(abiFunctions)) {
  functions.set(name as AbiFunction, library.func(name, result, [...parameters]));
}

function nativeFunction(name: AbiFunction): NativeFunction {
  const native = functions.get(name);
  if (native === undefined) throw new Error(`${name} is not in the ABI`);
  return native;
}

function callRaw(name: AbiFunction, args: Argument[]): unknown {
  return nativeFunction(name)(...args);
}

if (callRaw('pb_abi_hash', []) !== abiHash) {
  throw BricksError.of('NATIVE_MISMATCH', { file: join(folder, nativeFiles.engine) });
}

function call(name: AbiFunction, ...args: Argument[]): number {
  return Number(callRaw(name, args));
}

/** What a struct pb_error says. */
function nativeError(status: number, error: Buffer, name: AbiFunction): BricksError {
  const end = error.indexOf(0, 4);
  return BricksError.native(status, error.toString('utf8', 4, end < 0 ? undefined : end) || name);
}

/** Calls a function whose last parameter is a struct pb_error; throws what that says. */
function callChecked(name: AbiFunction, ...args: Argument[]): number {
  const error = Buffer.alloc(abi.errorBytes);
  const status = call(name, ...args, error);
  if (status < 0) throw nativeError(status, error, name);
  return status;
}

/** Fetches a text whose length is not known before: the answer is the length, or minus the length needed. */
function callText(name: AbiFunction, ...args: Argument[]): string {
  for (let bytes = 64 * 1024; ; ) {
    const text = Buffer.alloc(bytes);
    const length = call(name, ...args, text, bytes);
    if (length >= 0) return text.toString('utf8', 0, length);
    if (-length <= bytes) throw BricksError.native(length, name);
    bytes = -length;
  }
}

// koffi takes no empty buffer for a pointer.
const noBytes = new Uint8Array(1);

/** The folder of the native files in use. */
export const nativeFilesFolder = folder;

/** The tables of drivers and bricks, as JSON. See pb_describe(). */
export function describe(): string {
  return callText('pb_describe');
}

/** What a driver lacks here, and the remedy; undefined: nothing. See pb_driver_probe(). */
export function driverProbe(driver: string): string | undefined {
  const error = Buffer.alloc(abi.errorBytes);
  const status = call('pb_driver_probe', driver, error);
  return status < 0 ? nativeError(status, error, 'pb_driver_probe').message : undefined;
}

/** Settings of a driver's library. See pb_driver_setup(). */
export function driverSetup(driver: string, settings: string): void {
  callChecked('pb_driver_setup', driver, settings);
}

export function engineCreate(name: string, bufferSlots: number, cpu: number, batchPackets: number): number {
  return callChecked('pb_engine_create', name, bufferSlots, cpu, batchPackets);
}

export function engineAddInput(engine: number, driver: string, name: string, options: string, queueId: number): number {
  return callChecked('pb_engine_add_input', engine, driver, name, options, queueId);
}

export function engineAddOutput(engine: number, driver: string, name: string, options: string): number {
  return callChecked('pb_engine_add_output', engine, driver, name, options);
}

/** Makes a brick's control object; returns its handle. See pb_control_open(). */
export function controlOpen(brick: string, config: Uint8Array): number {
  return callChecked('pb_control_open', brick, config.length > 0 ? config : noBytes, config.length);
}

/** The answer to a request, of at most `replyBytes`. See pb_control_command(). */
export function controlCommand(control: number, request: Uint8Array, replyBytes: number): Buffer {
  const reply = Buffer.alloc(Math.max(1, replyBytes));
  const bytes = request.length > 0 ? request : noBytes;
  const length = callChecked('pb_control_command', control, bytes, request.length, reply, replyBytes);
  return reply.subarray(0, length);
}

export function controlClose(control: number): void {
  callChecked('pb_control_close', control);
}

/** `control`: handle of its control object, 0: it has none. */
export function engineAddBrick(
  engine: number,
  brick: string,
  config: Uint8Array,
  control: number,
  outputs: number,
  depth: number,
): number {
  const bytes = config.length > 0 ? config : noBytes;
  return callChecked('pb_engine_add_brick', engine, brick, bytes, config.length, control, outputs, depth);
}

export function engineConnectInput(engine: number, port: number, brick: number): void {
  callChecked('pb_engine_connect_input', engine, port, brick);
}

export function engineConnectBrick(engine: number, brick: number, output: number, toBrick: number): void {
  callChecked('pb_engine_connect_brick', engine, brick, output, toBrick);
}

export function engineConnectOutput(engine: number, brick: number, output: number, port: number): void {
  callChecked('pb_engine_connect_output', engine, brick, output, port);
}

export function engineStart(engine: number): void {
  callChecked('pb_engine_start', engine);
}

export function engineStop(engine: number): void {
  callChecked('pb_engine_stop', engine);
}

/** Whether sources that can pause wait while no application reads output `port`, a pipe. */
export function engineAwaitReader(engine: number, port: number, awaited: boolean): void {
  callChecked('pb_engine_await_reader', engine, port, Number(awaited));
}

export function engineDelete(engine: number): void {
  callChecked('pb_engine_delete', engine);
}

/** One of abi.engineStopped, engineRunning, engineFinished. */
export function engineState(engine: number): number {
  return call('pb_engine_state', engine);
}

/** The layout of an engine's counters, as JSON. See pb_engine_describe(). */
export function engineDescribe(engine: number): string {
  return callText('pb_engine_describe', engine);
}

/**
 * The engine's counters, live. The memory stays mapped until the process ends, but belongs to another engine
 * after a delete: drop the view then.
 */
export function engineCounters(engine: number): BigUint64Array {
  const bytes = call('pb_engine_counters_bytes', engine);
  const pointer = callRaw('pb_engine_counters', [engine]);
  if (bytes <= 0 || pointer === null) throw BricksError.native(bytes < 0 ? bytes : -9, 'pb_engine_counters');
  return new BigUint64Array(koffi.view(pointer, bytes));
}

/** The oldest report of an engine thread, or undefined. */
export function eventTake(): { engine: number; text: string } | undefined {
  const text = Buffer.alloc(abi.errorBytes);
  const engine = call('pb_event_take', text, text.length);
  if (engine <= 0) return undefined;
  return { engine, text: text.toString('utf8', 0, text.indexOf(0)) };
}

/** Takes the lock file of a daemon; the descriptor of the open file, which holds this process's id. */
export function daemonLock(path: string): number {
  return callChecked('pb_daemon_lock', path);
}

/** Ends this process when its parent ends. */
export function parentFollow(parent: number): void {
  call('pb_parent_follow', parent);
}

/** Tells the service manager at `address` (NOTIFY_SOCKET) how this process is: "READY=1". See sd_notify(3). */
export function serviceNotify(address: string, state: string): void {
  callChecked('pb_service_notify', address, state);
}

/** Calls back while a descriptor is readable. */
export interface ReadableWatch {
  /** Waits; keeps the process alive meanwhile. */
  start(): void;
  stop(): void;
  /** To be called before the descriptor is closed, and not by the listener. */
  close(): void;
}

// koffi delivers no events to a handle that was collected.
const watches = new Set<object>();

/**
 * Watches a descriptor, from the first {@link ReadableWatch.start} on; on the main thread only: where a worker is being
 * terminated, an event that comes in aborts the process. `listener` runs outside of what Node calls a callback: promises
 * that it settles are looked at with the next timer or immediate only.
 */
function watchReadable(fd: number, listener: () => void): ReadableWatch & { unref(): void } {
  if (fd < 0) {
    const problem = getSystemErrorMap().get(fd)?.[1] ?? `errno ${-fd}`;
    throw BricksError.native(fd, `no descriptor to wait for reports: ${problem}; raise the limit (ulimit -n)`);
  }
  const handle = koffi.node.poll(fd, { readable: true }, listener);
  handle.stop();
  watches.add(handle);
  return {
    start: () => handle.start({ readable: true }, listener),
    stop: () => handle.stop(),
    close: () => {
      watches.delete(handle);
      handle.close();
    },
    unref: () => handle.unref(),
  };
}

/** Calls `listener` whenever engine threads have reported something. Does not keep the process alive. */
export function eventWatch(listener: () => void): void {
  const watch = watchReadable(call('pb_event_fd'), listener);
  watch.start();
  watch.unref();
  process.once('exit', () => watch.stop());
}

/** Which end of a pipe an application has. */
export type ClientDirection = 'read' | 'write';

/**
 * Attaches to a pipe, on a thread of its own: an engine that is stopped or busy answers late. Returns a handle.
 * See pb_client_open().
 */
export function clientOpen(name: string, direction: ClientDirection): Promise<number> {
  const error = Buffer.alloc(abi.errorBytes);
  const way = direction === 'read' ? abi.pipeToApplication : abi.pipeFromApplication;
  return new Promise((resolve, reject) => {
    nativeFunction('pb_client_open').async(name, way, error, (failure: unknown, status: unknown) => {
      if (failure !== null) reject(failure);
      else if (Number(status) < 0) reject(nativeError(Number(status), error, 'pb_client_open'));
      else resolve(Number(status));
    });
  });
}

/** Ties the client to this thread: a worker may be terminated at any time. See pb_client_own(). */
export function clientOwn(client: number): void {
  call('pb_client_own', client);
}

/** Detaches. Views of the client's memory stay readable: see pb_client_close(). */
export function clientClose(client: number): void {
  call('pb_client_close', client);
}

const lentMemory = new Map<bigint, ArrayBuffer>();

/** The ring of a client that reads, twice in a row. It must never be written: it is mapped read-only. */
export function clientMemory(client: number): Uint8Array {
  const bytes = call('pb_client_memory_bytes', client);
  const pointer = callRaw('pb_client_memory', [client]);
  if (bytes <= 0 || pointer === null) throw BricksError.native(bytes < 0 ? bytes : -9, 'pb_client_memory');
  // One buffer for a range of addresses: ranges come back. One that was given away to a worker is empty.
  const address = koffi.address(pointer);
  let buffer = lentMemory.get(address);
  if (buffer?.byteLength !== bytes) {
    buffer = koffi.view(pointer, bytes);
    lentMemory.set(address, buffer);
  }
  return new Uint8Array(buffer);
}

/** Fills `index` with what there is to read: the count, 0, or -errno. See pb_client_read(). */
export function clientRead(client: number, index: Uint8Array): number {
  return call('pb_client_read', client, index, index.length / abi.clientRecordBytes);
}

/** Gives back what was read. */
export function clientRelease(client: number): void {
  call('pb_client_release', client);
}

/** Prepares to wait for the descriptor: 0; 1 where there is no need to. See pb_client_arm(). */
export function clientArm(client: number): number {
  return call('pb_client_arm', client);
}

/** Watches the client's descriptor. See {@link ReadableWatch}. */
export function clientWatch(client: number, listener: () => void): ReadableWatch {
  return watchReadable(call('pb_client_fd', client), listener);
}

/** The LINKTYPE_ number, or -errno: EAGAIN before the first packet. */
export function clientLinkType(client: number): number {
  return call('pb_client_link_type', client);
}

/** See pb_client_counts(). */
export function clientCounts(client: number): { received: number; dropped: number } {
  const counts = new BigUint64Array(2);
  call('pb_client_counts', client, new Uint8Array(counts.buffer));
  return { received: Number(counts[0]), dropped: Number(counts[1]) };
}

/**
 * Sends `count` packets of an index, whose bytes are in the ring of the client `reader` (0: none) or in `bytes`. Returns
 * how many, or -errno. See pb_client_send().
 */
export function clientSend(
  client: number,
  reader: number,
  index: Uint8Array,
  count: number,
  bytes: Uint8Array = noBytes,
): number {
  if (count === 0) return 0;
  return call('pb_client_send', client, reader, index, count, bytes, bytes.length);
}

/** Counts packets that were not sent on. */
export function clientDecline(client: number, packets: number): void {
  call('pb_client_decline', client, packets);
}

/** Before the first packet. See pb_pipe_set_link_type(). */
export function clientSetLinkType(client: number, linkType: number): number {
  return call('pb_client_set_link_type', client, linkType);
}

/** Bytes of the ring that the engine has not taken yet. */
export function clientBacklog(client: number): number {
  return call('pb_client_backlog', client);
}
