// What the daemon and its clients say to each other over the control socket, one message a frame (frame.ts).
//
// A client opens with `hello`; the daemon answers with its own, or with `bye` and closes. Then requests, each with an id
// that its reply repeats, and notices that nobody asked for. Unknown types and wrong shapes close the connection.
import type { EngineSnapshot } from '../../engine/snapshot.ts';
import type { ResultFormat } from '../../lua/scheduler.ts';
import type { Evaluation } from '../session/session.ts';

/** Grows with every change that an older peer would misunderstand. */
export const protocolVersion = 1;

/** Levels of the log, least important first. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

/** One entry of the log. */
export interface LogEntry {
  readonly level: LogLevel;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly text: string;
}

/** Both sides open with it. */
export interface Hello {
  readonly type: 'hello';
  readonly protocol: number;
  /** "bricks-shell" */
  readonly program: string;
  readonly version: string;
  readonly pid: number;
}

/** Runs Lua. `line`: what a user typed (expressions are echoed, may be incomplete); `chunk`: a whole script. */
export interface EvaluateRequest {
  readonly type: 'evaluate';
  readonly id: number;
  readonly mode: 'line' | 'chunk';
  readonly code: Uint8Array;
  /** What messages call it: "stdin". */
  readonly name: string;
  readonly format: ResultFormat;
}

/** Asks what the word at the end of a line can become. */
export interface CompleteRequest {
  readonly type: 'complete';
  readonly id: number;
  readonly line: string;
}

/** Ends this client's running chunk. */
export interface InterruptRequest {
  readonly type: 'interrupt';
  readonly id: number;
}

/** Asks for a snapshot, once. */
export interface StatsRequest {
  readonly type: 'stats';
  readonly id: number;
}

/** Asks for a snapshot every so many milliseconds, or for the log from a level on; 0 and "none" end that. */
export interface SubscribeRequest {
  readonly type: 'subscribe';
  readonly id: number;
  readonly statsMs?: number;
  readonly logs?: LogLevel | 'none';
}

/** Asks the daemon to end. */
export interface ShutdownRequest {
  readonly type: 'shutdown';
  readonly id: number;
}

export type Request =
  | EvaluateRequest
  | CompleteRequest
  | InterruptRequest
  | StatsRequest
  | SubscribeRequest
  | ShutdownRequest;

/** Shortest and longest time between two snapshots of a subscription. */
export const statsMsMin = 100;
export const statsMsMax = 3_600_000;

/** The daemon and its engines at one moment. */
export interface Snapshot {
  /** Milliseconds on a clock that only goes forward: rates are differences of counters over differences of this. */
  readonly monotonicMs: number;
  /** Milliseconds since 1970. */
  readonly timeMs: number;
  readonly pid: number;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedMs: number;
  readonly engines: readonly EngineSnapshot[];
  /** Names of the programs at the ends of pipes, by process id. */
  readonly applications: Readonly<Record<string, string>>;
  /** Clients connected, the one asked by included. */
  readonly clients: number;
}

export type Reply =
  | { readonly type: 'reply'; readonly id: number; readonly to: 'evaluate'; readonly evaluation: Evaluation }
  | {
      readonly type: 'reply';
      readonly id: number;
      readonly to: 'complete';
      readonly matches: readonly string[];
      readonly word: string;
    }
  | { readonly type: 'reply'; readonly id: number; readonly to: 'stats'; readonly snapshot: Snapshot }
  | { readonly type: 'reply'; readonly id: number; readonly to: 'interrupt' | 'subscribe' | 'shutdown' };

/** What the daemon sends on its own account. */
export type Notice =
  /** Printed by a chunk of this client. */
  | { readonly type: 'output'; readonly stream: 'out' | 'err'; readonly bytes: Uint8Array }
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | ({ readonly type: 'log' } & LogEntry)
  /** The last one: why the daemon closes the connection. */
  | { readonly type: 'bye'; readonly reason: string };

export type DaemonMessage = Hello | Reply | Notice;
export type ClientMessage = Hello | Request;
