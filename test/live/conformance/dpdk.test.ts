// The port driver "dpdk" against the conformance suite.
import { dpdkBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(dpdkBed);
