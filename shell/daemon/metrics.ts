// Serves the counters to Prometheus: http://HOST:PORT/metrics. Started by the daemon (--metrics).
//
// Values are read when they are asked for; nothing is kept between two scrapes. What is served is in metric_families.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, Gauge, Registry } from 'prom-client';
import { BricksError, errorText } from '../../engine/errors.ts';
import type { Snapshot } from '../protocol/messages.ts';
import { metricFamilies, type Rows, rowsOf } from './metric_families.ts';

/** A running server. */
export interface Metrics {
  /** "http://127.0.0.1:9464/metrics" */
  readonly url: string;
  close(): Promise<void>;
}

/** A scrape comes every few seconds, from one or two servers: what is more, or slow, is not from them. */
const limits = { connections: 32, requestMs: 5000, headerBytes: 8192 } as const;

const defaultHost = '127.0.0.1';

function addressError(address: string, problem: string): BricksError {
  const hint = 'give --metrics another [host:]port, such as 127.0.0.1:9464';
  return BricksError.of('ARGUMENT_INVALID', { what: `metrics address "${address}"`, problem, hint });
}

/** "host:port", "[::1]:port", ":port" or "port". */
function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:(?:\[(?<v6>[\da-fA-F:.%\w]+)\]|(?<host>[^:[\]\s]*)):)?(?<port>\d{1,5})$/.exec(address);
  const { v6, host, port } = match?.groups ?? {};
  if (port === undefined || Number(port) > 65535)
    throw addressError(address, 'is not [host:]port with a port up to 65535');
  return { host: v6 ?? (host || defaultHost), port: Number(port) };
}

/** Why an address cannot be listened at. */
const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another program',
  EADDRNOTAVAIL: 'is no address of this host',
  EACCES: 'is for privileged users',
  ENOTFOUND: 'is no known host',
  EAI_AGAIN: 'is no known host',
};

async function listen(server: Server, address: string): Promise<AddressInfo> {
  const { host, port } = parseAddress(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(addressError(address, listenProblems[error.code ?? ''] ?? error.message));
    });
    server.listen(port, host, resolve);
  });
  // Without descriptors for another connection a scrape fails, and nothing else.
  server.on('error', () => {});
  return server.address() as AddressInfo;
}

/** A registry whose metrics read `rows()` when they are collected. */
function makeRegistry(rows: () => Rows): Registry {
  const registry = new Registry();
  for (const { name, text, type, labels, samples } of metricFamilies) {
    const options = { name, help: text, labelNames: labels, registers: [registry] };
    if (type === 'counter') {
      new Counter({
        ...options,
        collect() {
          this.reset();
          for (const { labels, value } of samples(rows())) this.inc(labels, value);
        },
      });
    } else {
      new Gauge({
        ...options,
        collect() {
          this.reset();
          for (const { labels, value } of samples(rows())) this.set(labels, value);
        },
      });
    }
  }
  return registry;
}

function answer(request: IncomingMessage, response: ServerResponse, status: number, text: string, type: string): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(text),
    ...(status === 405 && { Allow: 'GET, HEAD' }),
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

/**
 * Serves the counters of `snapshot()` at "host:port"; a port alone means 127.0.0.1, port 0 a free one.
 *
 * A scrape costs about 5 ms of one core with 4 engines of 16 pipes each (1100 values, 105 kB); engines go on meanwhile.
 * Throws ARGUMENT_INVALID for an address that cannot be listened at.
 */
export async function startMetrics(address: string, snapshot: () => Snapshot): Promise<Metrics> {
  let rows: Rows;
  const registry = makeRegistry(() => rows);
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const say = (status: number, text: string, type = 'text/plain; charset=utf-8'): void => {
      answer(request, response, status, text, type);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, 'metrics are read with GET or HEAD\n');
    if (request.url?.split('?')[0] !== '/metrics') return say(404, 'not found; metrics are at /metrics\n');
    try {
      // One snapshot for all: every family is collected before metrics() first waits.
      rows = rowsOf(snapshot());
      say(200, await registry.metrics(), registry.contentType);
    } catch (error) {
      say(500, `${errorText(error)}\n`);
    }
  };
  const server = createServer(
    {
      headersTimeout: limits.requestMs,
      requestTimeout: limits.requestMs,
      connectionsCheckingInterval: limits.requestMs,
      maxHeaderSize: limits.headerBytes,
    },
    (request, response) => void serve(request, response),
  );
  server.maxConnections = limits.connections;
  const bound = await listen(server, address);
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${host}:${bound.port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
