// The port driver "netmap" against the conformance suite, over the stand-in for /dev/netmap.
import { netmapBed } from '../../support/conformance/beds.ts';
import { conformance } from '../../support/conformance/cases.ts';

conformance(netmapBed);
