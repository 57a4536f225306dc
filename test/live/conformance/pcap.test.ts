// The port driver "pcap" against the conformance suite.
import { pcapBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(pcapBed);
