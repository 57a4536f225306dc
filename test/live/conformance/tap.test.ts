// The port driver "tap" against the conformance suite.
import { tapBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(tapBed);
