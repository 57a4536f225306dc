// The port driver "memif" against the conformance suite, as the client of a socket.
import { memifClientBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(memifClientBed);
