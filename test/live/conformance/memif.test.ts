// The port driver "memif" against the conformance suite.
import { memifBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(memifBed);
