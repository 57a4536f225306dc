// Generated from native/include/packet_bricks.h by `npm run abi`. Do not edit.

/** Hash of the header; pb_abi_hash() of a library that fits returns the same. */
export const abiHash = 'e3bd595a84ffe44f';

/** The limits and constants of the header. */
export const abi = {
  /** engines in one process */
  enginesMax: 256,
  /** bytes in an engine's name */
  engineNameMax: 63,
  /** input and output ports of one engine */
  portsMax: 2048,
  /** bricks in one engine */
  bricksMax: 256,
  /** outputs of one brick */
  outputsMax: 1024,
  /** copies of one packet that may meet in one brick */
  copiesMax: 1024,
  /** pipes served by one process */
  pipesMax: 1024,
  /** bytes in a port's name: a path */
  portNameMax: 4095,
  /** bytes in a pipe's name */
  pipeNameMax: 63,
  /** packets in a batch */
  batchPacketsMax: 4096,
  batchPacketsDefault: 256,
  /** slots of a pipe's ring: 1 GiB */
  bufferSlotsMax: 524288,
  /** the longest frame must fit the ring */
  bufferSlotsMin: 64,
  bufferSlotsDefault: 512,
  bufferSlotBytes: 2048,
  /** bytes of a captured packet (libpcap's MAXIMUM_SNAPLEN) */
  frameBytesMax: 262144,
  /** bytes of a frame on a live port */
  frameBytesLiveMax: 65535,
  /** sizeof(struct pb_error) */
  errorBytes: 512,
  /** processors an engine can be pinned to */
  cpusMax: 1024,
  /** highest queue id of an interface */
  queueIdMax: 255,
  /** the mark of a packet that an application sends */
  markMax: 4095,
  /** bricks of one process that can be changed while they run */
  controlsMax: 511,
  /** pipes that JavaScript of one process reads or writes */
  clientsMax: 256,
  /** datagrams in a table of fragments: a power of two */
  fragmentsMin: 64,
  /** datagrams in a table of fragments: 256 MiB */
  fragmentsMax: 16777216,
  /** datagrams in a table of fragments: 1 MiB */
  fragmentsDefault: 65536,
  /** bytes in a program's name, as /proc/PID/comm gives it */
  programNameMax: 15,
  /** not started, or stopped */
  engineStopped: 0,
  /** the engine thread runs */
  engineRunning: 1,
  /** runs, but every source is exhausted and delivered */
  engineFinished: 2,
  clientRecordBytes: 40,
  /** pb_client_send(): do not send it on, count it as declined */
  markDecline: 4096,
  /** an engine's output: the application reads */
  pipeToApplication: 0,
  /** an engine's input: the application writes */
  pipeFromApplication: 1,
} as const;

/** The control ABI, in koffi's types. */
export const abiFunctions = {
  pb_abi_hash: { result: 'const char *', parameters: [] },
  pb_describe: { result: 'int', parameters: ['void *', 'uint32_t'] },
  pb_driver_probe: { result: 'int', parameters: ['const char *', 'void *'] },
  pb_driver_setup: { result: 'int', parameters: ['const char *', 'const char *', 'void *'] },
  pb_engine_create: { result: 'int', parameters: ['const char *', 'uint32_t', 'int32_t', 'uint32_t', 'void *'] },
  pb_engine_add_input: { result: 'int', parameters: ['int', 'const char *', 'const char *', 'const char *', 'int32_t', 'void *'] },
  pb_engine_add_output: { result: 'int', parameters: ['int', 'const char *', 'const char *', 'const char *', 'void *'] },
  pb_control_open: { result: 'int', parameters: ['const char *', 'void *', 'uint32_t', 'void *'] },
  pb_control_command: { result: 'int', parameters: ['int', 'void *', 'uint32_t', 'void *', 'uint32_t', 'void *'] },
  pb_control_close: { result: 'int', parameters: ['int', 'void *'] },
  pb_engine_add_brick: { result: 'int', parameters: ['int', 'const char *', 'void *', 'uint32_t', 'int', 'uint32_t', 'uint32_t', 'void *'] },
  pb_engine_connect_input: { result: 'int', parameters: ['int', 'uint32_t', 'uint32_t', 'void *'] },
  pb_engine_connect_brick: { result: 'int', parameters: ['int', 'uint32_t', 'uint32_t', 'uint32_t', 'void *'] },
  pb_engine_connect_output: { result: 'int', parameters: ['int', 'uint32_t', 'uint32_t', 'uint32_t', 'void *'] },
  pb_engine_start: { result: 'int', parameters: ['int', 'void *'] },
  pb_engine_stop: { result: 'int', parameters: ['int', 'void *'] },
  pb_engine_state: { result: 'int', parameters: ['int'] },
  pb_engine_await_reader: { result: 'int', parameters: ['int', 'uint32_t', 'int', 'void *'] },
  pb_engine_delete: { result: 'int', parameters: ['int', 'void *'] },
  pb_engine_counters: { result: 'void *', parameters: ['int'] },
  pb_engine_counters_bytes: { result: 'int', parameters: ['int'] },
  pb_engine_describe: { result: 'int', parameters: ['int', 'void *', 'uint32_t'] },
  pb_event_fd: { result: 'int', parameters: [] },
  pb_event_take: { result: 'int', parameters: ['void *', 'uint32_t'] },
  pb_daemon_lock: { result: 'int', parameters: ['const char *', 'void *'] },
  pb_service_notify: { result: 'int', parameters: ['const char *', 'const char *', 'void *'] },
  pb_parent_follow: { result: 'void', parameters: ['int'] },
  pb_client_open: { result: 'int', parameters: ['const char *', 'uint32_t', 'void *'] },
  pb_client_close: { result: 'int', parameters: ['int'] },
  pb_client_own: { result: 'int', parameters: ['int'] },
  pb_client_memory: { result: 'void *', parameters: ['int'] },
  pb_client_memory_bytes: { result: 'int64_t', parameters: ['int'] },
  pb_client_read: { result: 'int', parameters: ['int', 'void *', 'uint32_t'] },
  pb_client_release: { result: 'int', parameters: ['int'] },
  pb_client_send: { result: 'int', parameters: ['int', 'int', 'void *', 'uint32_t', 'void *', 'uint32_t'] },
  pb_client_decline: { result: 'int', parameters: ['int', 'uint32_t'] },
  pb_client_set_link_type: { result: 'int', parameters: ['int', 'uint32_t'] },
  pb_client_backlog: { result: 'int64_t', parameters: ['int'] },
  pb_client_fd: { result: 'int', parameters: ['int'] },
  pb_client_arm: { result: 'int', parameters: ['int'] },
  pb_client_link_type: { result: 'int', parameters: ['int'] },
  pb_client_counts: { result: 'int', parameters: ['int', 'void *'] },
} as const;
