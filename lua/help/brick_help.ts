// Help of Brick: the global table and the objects it makes. Read by help.ts.
import { bricks } from '../../bricks/registry.ts';
import type { HelpTable } from './entry.ts';

const names = [...bricks.keys()];

export const brickHelp: HelpTable = {
  name: 'Brick',
  title: names.join('/'),
  text: 'bricks: what is done with packets, and between which ports',
  object: { variable: 'b', ownFunctions: ['help', 'new'] },
  entries: {
    help: {
      signature: 'help()',
      text: 'Lists the functions; with the name of one, or of a brick, shows what it does.',
      example: 'Brick.help()\nBrick.help("connect_input")\nBrick.help("LoadBalancer")',
    },
    new: {
      signature: 'new(<type>, [<argument or options>])',
      text: `Makes a brick: ${names.join(', ')}. help("LoadBalancer") shows the options of one.`,
      example: 'b = Brick.new("LoadBalancer", 4)\nc = Brick.new("LoadBalancer", { tuple = 2, weights = { 1, 3 } })',
    },
    connect_input: {
      signature: 'connect_input(<interfaces>)',
      text: 'Adds inputs: interfaces, captures, outputs of the brick above, or "app}0", a pipe that an application writes.',
      example: 'b = Brick.new("Merge")\nb:connect_input("eth3", "eth4")',
    },
    connect_output: {
      signature: 'connect_output(<interfaces>)',
      text: 'Adds outputs: pipes, interfaces or captures. An output "eth3{0" is the pipe that an application reads as "eth3}0".',
      example: 'b = Brick.new("LoadBalancer")\nb:connect_output("eth3{0", "pcap:/tmp/share.pcap")',
    },
    connect_outputs: {
      signature: 'connect_outputs(<interface>, split)',
      text: 'Adds that many pipes as outputs: "eth3", 2 stands for "eth3{0", "eth3{1".',
      example: 'b = Brick.new("LoadBalancer")\nb:connect_outputs("eth3", 4)',
    },
    link: {
      signature: 'link(<bricks>)',
      text: 'Puts bricks below this one: an output "x{0" here that is an input "x}0" there joins them within the engine.',
      example: `dup = Brick.new("Duplicator")
dup:connect_input("eth3")
dup:connect_output("eth3{0", "eth3{1")
lb = Brick.new("LoadBalancer")
lb:connect_input("eth3}1")
lb:connect_output("eth3{2", "eth3{3")
dup:link(lb)`,
    },
  },
};
