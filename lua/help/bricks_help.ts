// Help of the global table BRICKS. Read by help.ts.
import type { HelpTable } from './entry.ts';

export const bricksHelp: HelpTable = {
  name: 'BRICKS',
  title: 'BRICKS',
  text: 'the program as a whole: statistics of all engines, waiting, its log, its end',
  entries: {
    help: {
      signature: 'help()',
      text: 'Lists the functions; with the name of one, shows what it does.',
      example: 'BRICKS.help()\nBRICKS.help("sleep")',
    },
    print_status: {
      signature: 'print_status()',
      text: 'Prints whether the program is there.',
      example: 'BRICKS.print_status()',
    },
    show_stats: {
      signature: 'show_stats()',
      text: 'Prints a table of all engines: packets, bytes and drops of each, and the total.',
      example: 'BRICKS.show_stats()',
    },
    stats: {
      signature: 'stats()',
      text: 'Returns the counters of all engines as a table, by the name of the engine.',
      example: 'for name, stats in pairs(BRICKS.stats()) do\n  print(name, stats.rx_packets, stats.dropped)\nend',
    },
    sleep: {
      signature: 'sleep(<seconds>)',
      text: 'Waits. Engines and other chunks go on meanwhile; Ctrl-C ends the waiting.',
      example: 'BRICKS.sleep(0.01)',
    },
    log: {
      signature: 'log([<level>], <text>)',
      text: 'Writes a line to the log of the program, at level "info" unless it says otherwise. Without a log it goes to standard error.',
      example: 'BRICKS.log("balancing eth3")\nBRICKS.log("warn", "one reader is slow")',
    },
    log_level: {
      signature: 'log_level()',
      text: 'Returns the level from which on the log takes lines.',
      example: 'print(BRICKS.log_level())',
    },
    set_log_level: {
      signature: 'set_log_level(<level>)',
      text: 'Changes the level from which on the log takes lines.',
      example: 'BRICKS.set_log_level("info")',
    },
    top: {
      signature: 'top()',
      text: 'Tells how to see the engines at work, in a dashboard.',
      example: 'BRICKS.top()',
    },
    set_driver: {
      signature: 'set_driver(<driver>)',
      text: 'Sets what an interface without a driver before its name is opened with.',
      example: 'BRICKS.set_driver("packet")',
    },
    get_driver: {
      signature: 'get_driver()',
      text: 'Returns what an interface without a driver before its name is opened with.',
      example: 'print(BRICKS.get_driver())',
    },
    drivers: {
      signature: 'drivers()',
      text: 'Returns the port drivers: name, text, whether each is available here, and why not. Loads what drivers need.',
      example:
        'for _, driver in ipairs(BRICKS.drivers()) do\n  print(driver.name, driver.available or driver.reason)\nend',
    },
    show_drivers: {
      signature: 'show_drivers()',
      text: 'Prints the port drivers, and what those that are not available lack. help("pcap") shows the options of one.',
      example: 'BRICKS.show_drivers()',
    },
    set_dpdk_eal: {
      signature: 'set_dpdk_eal(<options>)',
      text: "Sets the options of DPDK's environment abstraction layer, before the first port of its drivers is started.",
      example: 'pcall(BRICKS.set_dpdk_eal, "--no-huge -m 512")     -- fails where there is no DPDK',
    },
    shutdown: {
      signature: 'shutdown()',
      text: 'Ends the program: engines are stopped, captures written to their end.',
      example: 'BRICKS.shutdown()',
    },
  },
  footer: '  Available subsystems within BRICKS have their own help() methods:\n    PktEngine \n    Brick \n',
};
