// Help of PktEngine: the global table and the objects it makes. Read by help.ts.
import type { HelpTable } from './entry.ts';

/** An engine of 1000 generated packets that are counted. */
const setUp = `pe = PktEngine.new("e0")
lb = Brick.new("LoadBalancer", 4)
lb:connect_input("null:?packets=1000")
lb:connect_output("null:", "null:")`;

export const pktEngineHelp: HelpTable = {
  name: 'PktEngine',
  title: 'Packet Engine',
  text: 'engines: threads that carry packets through bricks',
  object: { variable: 'pe', ownFunctions: ['help', 'new', 'retrieve'] },
  entries: {
    help: {
      signature: 'help()',
      text: 'Lists the functions; with the name of one, shows what it does.',
      example: 'PktEngine.help()\nPktEngine.help("link")',
    },
    new: {
      signature: 'new(<ioengine_name>, <queue_sz>, <cpu number>)',
      text: 'Makes an engine, with pipes of <queue_sz> slots of 2048 bytes, on the processor <cpu number>: any where that is -1.',
      example: 'pe = PktEngine.new("e0", 1024, -1)',
    },
    retrieve: {
      signature: 'retrieve(<ioengine_name>)',
      text: 'Returns the engine of that name.',
      example: 'PktEngine.new("e0")\npe = PktEngine.retrieve("e0")',
    },
    delete: {
      signature: 'delete()',
      text: 'Removes an engine that does not run. Its name is free again.',
      example: 'pe = PktEngine.new("e0")\npe:delete()',
    },
    link: {
      signature: 'link(<brick>, <chunk_size>, <qid>)',
      text: 'Sets the brick that packets go through: <chunk_size> at once, from queue <qid> of the interface; -1: the usual, any.',
      example: `${setUp}\npe:link(lb, 64)`,
    },
    unlink: {
      signature: 'unlink()',
      text: 'Takes every brick off an engine that does not run.',
      example: `${setUp}\npe:link(lb)\npe:unlink()`,
    },
    start: {
      signature: 'start()',
      text: 'Opens the ports and starts the thread.',
      example: `${setUp}\npe:link(lb)\npe:start()`,
    },
    stop: {
      signature: 'stop()',
      text: 'Stops the thread and closes the ports. The counters stay.',
      example: `${setUp}\npe:link(lb)\npe:start()\npe:stop()`,
    },
    wait: {
      signature: 'wait([<seconds>])',
      text: 'Waits until every capture was read and its packets were delivered or dropped. Returns true, or false when the time is over.',
      example: `${setUp}\npe:link(lb)\npe:start()\nprint(pe:wait(10))`,
    },
    stats: {
      signature: 'stats()',
      text: 'Returns the counters of the engine as a table: in all, of each port and of each brick.',
      example: 'pe = PktEngine.new("e0")\nprint(pe:stats().rx_packets)',
    },
    show_stats: {
      signature: 'show_stats()',
      text: 'Prints the packets, bytes and drops of the engine.',
      example: 'pe = PktEngine.new("e0")\npe:show_stats()',
    },
  },
};
