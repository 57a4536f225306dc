// The port driver "veth" against the conformance suite.
import { vethBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(vethBed);
