// BRICKS: the global table for the program as a whole.
import { join } from 'node:path';
import { getDefaultDriver, probeDrivers, setDefaultDriver, setDpdkEal } from '../engine/drivers.ts';
import { nativeFilesFolder } from '../engine/native.ts';
import { PktEngine } from '../engine/pkt_engine.ts';
import { nativeFiles } from '../native/build.ts';
import { version } from '../package_info.ts';
import { Arguments } from './arguments.ts';
import { LuaCallError } from './call_error.ts';
import { optionalText, pushText, pushValue } from './convert.ts';
import { driversText } from './drivers_text.ts';
import { extendTable } from './functions.ts';
import { bricksHelp } from './help/bricks_help.ts';
import { tableHelp } from './help/help.ts';
import { type LuaState, lua } from './lua_api.ts';
import type { ProgramControls } from './program.ts';
import { type Scheduler, sleep } from './scheduler.ts';
import { engineTable } from './statistics_text.ts';

/** The levels where the program has no log: all of them are printed. */
const levelsWithoutLog = ['debug', 'info', 'warn', 'error'];

/** Puts `BRICKS` into the globals. `program`: the program's log, where it has one. */
export function openBricks(L: LuaState, scheduler: Scheduler, program?: ProgramControls): void {
  const logLevels = program?.logLevels ?? levelsWithoutLog;
  const checkLevel = (args: Arguments, argument: number): string => {
    const level = args.string(argument, 'a level of the log');
    return logLevels.includes(level)
      ? level
      : args.fail(argument, `one of ${logLevels.join(', ')}`, 'a level of the log');
  };

  const print = (text: string): number => {
    scheduler.print(Buffer.from(text));
    return 0;
  };
  const allStats = () => PktEngine.all().map((engine) => engine.stats());

  extendTable(L, 'BRICKS', {
    help: (caller) => print(tableHelp(bricksHelp, optionalText(caller, 1))),
    // Where there is no program to ask, the shell's own side says "offline".
    print_status: () => print('BRICKS is online.\n'),
    show_stats: () => print(engineTable(allStats())),
    stats: (caller) => {
      pushValue(caller, new Map(allStats().map((stats) => [stats.engine, stats])));
      return 1;
    },
    sleep: (caller) => {
      const seconds = new Arguments(caller, 'BRICKS.sleep').number(1, 'seconds');
      return scheduler.wait(
        caller,
        (signal) => sleep(Math.max(0, seconds * 1000), signal),
        () => 0,
      );
    },
    log: (caller) => {
      const args = new Arguments(caller, 'BRICKS.log');
      const level = args.has(2) ? checkLevel(args, 1) : 'info';
      const text = args.string(args.has(2) ? 2 : 1, 'what to log');
      if (program === undefined) scheduler.printError(Buffer.from(`${level}: ${text}\n`));
      else program.log(level, text);
      return 0;
    },
    log_level: (caller) => {
      pushValue(caller, program?.getLogLevel() ?? logLevels[0]);
      return 1;
    },
    set_log_level: (caller) => {
      const level = checkLevel(new Arguments(caller, 'BRICKS.set_log_level'), 1);
      if (program === undefined) {
        throw new LuaCallError('BRICKS.set_log_level: this program has no log; bricks-server has one');
      }
      program.setLogLevel(level);
      return 0;
    },
    top: () => print('The dashboard is a program of its own: run bricks-top in another terminal.\n'),
    set_driver: (caller) => {
      setDefaultDriver(new Arguments(caller, 'BRICKS.set_driver').string(1, 'a driver of interfaces'));
      return 0;
    },
    get_driver: (caller) => {
      pushText(caller, getDefaultDriver());
      return 1;
    },
    drivers: (caller) => {
      pushValue(caller, probeDrivers());
      return 1;
    },
    show_drivers: () => print(driversText(probeDrivers())),
    set_dpdk_eal: (caller) => {
      setDpdkEal(new Arguments(caller, 'BRICKS.set_dpdk_eal').string(1, 'options of DPDK'));
      return 0;
    },
    shutdown: (caller) => {
      print('Goodbye!\n');
      return scheduler.end(caller, { kind: 'shutdown' });
    },
  });

  lua.lua_getglobal(L, Buffer.from('BRICKS'));
  pushText(L, version);
  lua.lua_setfield(L, -2, Buffer.from('version'));
  // For scripts that start readers: the program of that name need not be on the path.
  pushText(L, join(nativeFilesFolder, nativeFiles.pipeProgram));
  lua.lua_setfield(L, -2, Buffer.from('pipe_program'));
  lua.lua_pop(L, 1);
}
