// One-line reports of engine threads and of the programs beside them (`port "packet:eth3": the interface is gone; ...`), handed to
// who listens.
import { EventEmitter } from 'node:events';
import { eventTake, eventWatch } from './native.ts';

/** A report of an engine thread, or of a program that runs beside it. */
export interface Report {
  /** The engine's name. */
  readonly engine: string;
  /** What went wrong; or what a program printed. */
  readonly kind: 'fault' | 'output';
  /** One line; of a fault, it names the thing and the remedy. */
  readonly text: string;
}

const names = new Map<number, string>();
const emitter = new EventEmitter<{ report: [Report] }>();
let watching = false;

/** Hands out the reports that have come in: also called before an engine goes. */
export function takeReports(): void {
  for (let event = eventTake(); event !== undefined; event = eventTake()) {
    emitter.emit('report', {
      engine: names.get(event.engine) ?? `engine ${event.engine}`,
      kind: 'fault',
      text: event.text,
    });
  }
}

/** Hands out a report of the control plane's own. */
export function report(event: Report): void {
  emitter.emit('report', event);
}

/** Makes reports of the engine with this handle known by its name. */
export function nameReports(handle: number, engine: string): void {
  names.set(handle, engine);
  if (watching) return;
  watching = true;
  eventWatch(takeReports);
}

/** Forgets an engine that is deleted. */
export function unnameReports(handle: number): void {
  takeReports();
  names.delete(handle);
}

/** Calls `listener` for each report of any engine; returns what ends that. */
export function onReport(listener: (report: Report) => void): () => void {
  emitter.on('report', listener);
  return () => emitter.off('report', listener);
}
