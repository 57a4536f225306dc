// The port driver "packet" against the conformance suite.
import { packetBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(packetBed);
