// The port driver "memif" against the conformance suite, as the server of a socket.
import { memifServerBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(memifServerBed);
