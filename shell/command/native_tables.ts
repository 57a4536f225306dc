// The commands that are native programs. Their command lines are taken apart in C, native/programs/bricks_pipe.c and
// native/programs/bricks_run.c, and a test compares the tables with what those say of themselves.
import type { Command } from './options.ts';
import { runtimeVariable } from './shared.ts';

export const pipeCommand: Command = {
  name: 'bricks-pipe',
  text: 'Writes the packets of a pipe to standard output, as a capture that tcpdump, Wireshark and others read.',
  options: [
    { long: 'count', short: 'c', value: 'N', text: 'stop after N packets' },
    { long: 'list', short: 'l', text: 'list the pipes of this machine and leave' },
    { long: 'quiet', short: 'q', text: 'no summary at the end' },
    { long: 'wait', short: 'w', text: 'wait until an engine serves the pipe' },
    { long: 'help', short: 'h', text: 'show this help' },
    { long: 'version', short: 'v', text: 'show the version' },
  ],
  positionals: ['NAME'],
  description: [
    `NAME is the application's end of the pipe, such as eth3}0; with --list there is none. A pipe has one reader at a time,
which may start before the engine (--wait), come late, leave and come back. The capture is in libpcap format with
nanoseconds.`,
    `--list shows for each pipe which way its packets go as the engine sees it (DIR: out or in), the application at its end, how
full it is and was at most, and what was lost.`,
  ],
  sections: {
    Environment: runtimeVariable,
    'Exit status': {
      '0': 'the end of the stream, after N packets or when interrupted',
      '1': 'an error',
      '2': 'wrong usage',
    },
  },
  examples: [
    { text: 'the pipes there are', line: 'bricks-pipe --list' },
    { text: 'look at ten packets', line: `bricks-pipe -c 10 'eth3}0' | tcpdump -nr -` },
    { text: 'wait for the engine, and keep a hundred packets', line: `bricks-pipe -w -c 100 'eth3}0' > first.pcap` },
  ],
};

export const runCommand: Command = {
  name: 'bricks-run',
  text: 'Runs a program that captures with libpcap, with pipes among its devices.',
  options: [
    { long: 'wait', short: 'w', text: 'wait until an engine serves the pipe' },
    { long: 'reconnect', short: 'r', text: 'at the end of the stream, wait for the next engine' },
    { long: 'copy', short: 'c', text: 'copy each packet, for a program that writes to them' },
    { long: 'help', short: 'h', text: 'show this help' },
    { long: 'version', short: 'v', text: 'show the version' },
  ],
  positionals: ['PROGRAM', '[ARGUMENT]...'],
  description: [
    `To the program, eth3}0 is a device that it can open; where that might mean something else, bricks:eth3}0 is the
same. Packets are handed to it in the shared memory of the pipe, which it may only read: no kernel in between, and no
copy. The few programs that write to the packets they get, such as pmacctd, need --copy. All other devices and captures
are what they are without bricks-run. What the program needs root for, such as its interfaces, it still does.`,
    `When the engine stops, the program has read everything and ends as if it were interrupted: it flushes its output and
prints its statistics. With --reconnect it goes on with the next engine that serves the pipe.`,
    `A pipe that is an engine's input takes the packets that the program sends (pcap_inject(3PCAP)); of one that is an
output it reads them.`,
    `It works by LD_PRELOAD, see ld.so(8): on programs that are linked to libpcap.so, or load modules that are; not on
those that are linked statically, that carry their own libpcap, that look its functions up by dlsym(3), or that are
set-user-ID. bricks-pipe serves these.`,
  ],
  sections: {
    Environment: {
      ...runtimeVariable,
      LD_PRELOAD: 'what is there comes behind libbricks-pcap.so',
      'BRICKS_PCAP_WAIT, BRICKS_PCAP_RECONNECT, BRICKS_PCAP_COPY': 'what --wait, --reconnect and --copy set to 1',
    },
    'Exit status': {
      '2': 'wrong usage',
      '126': 'the program cannot be run this way',
      '127': 'there is no such program',
      others: "the program's own",
    },
  },
  examples: [
    { text: 'ten packets of a pipe', line: `bricks-run tcpdump -c 10 -ni 'eth3}0'` },
    { text: 'the devices, pipes among them', line: 'bricks-run tcpdump -D' },
    { text: 'wait for the engine', line: `bricks-run --wait tshark -c 10 -i 'eth3}1' -w first.pcapng` },
  ],
};
