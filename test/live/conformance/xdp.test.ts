// The port driver "xdp" against the conformance suite.
import { xdpBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(xdpBed);
