// All cases of the conformance suite, for the tests of single drivers in test/live/conformance/.
import type { Bed } from './bed.ts';
import { errorCases } from './cases_errors.ts';
import { lifeCases } from './cases_life.ts';
import { trafficCases } from './cases_traffic.ts';
import { testBed } from './suite.ts';

/** The test of one driver. */
export function conformance(bed: Bed): void {
  testBed(bed, [...trafficCases, ...lifeCases, ...errorCases]);
}
