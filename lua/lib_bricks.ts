// BRICKS: the global table for the program as a whole.
import { join } from 'node:path';
import { drivers, setDefaultDriver } from '../engine/drivers.ts';
import { nativeFilesFolder } from '../engine/native.ts';
import { PktEngine } from '../engine/pkt_engine.ts';
import { nativeFiles } from '../native/build.ts';
import { version } from '../package_info.ts';
import { Arguments } from './arguments.ts';
import { pushText, pushValue } from './convert.ts';
import { extendTable } from './functions.ts';
import { helpText } from './help_text.ts';
import { type LuaState, lua } from './lua_api.ts';
import { type Scheduler, sleep } from './scheduler.ts';
import { engineTable } from './statistics_text.ts';

const usage = [
  'help()',
  'print_status()',
  'show_stats()',
  'stats()',
  'sleep(<seconds>)',
  'set_driver(<driver>)',
  'drivers()',
  'shutdown()',
];

const subsystems = `  Available subsystems within BRICKS have their own help() methods:
    PktEngine 
    Brick 
`;

/** Puts `BRICKS` into the globals. */
export function openBricks(L: LuaState, scheduler: Scheduler): void {
  const print = (text: string): number => {
    scheduler.current.output.out(Buffer.from(text));
    return 0;
  };
  const allStats = () => PktEngine.all().map((engine) => engine.stats());

  extendTable(L, 'BRICKS', {
    help: () => print(helpText('BRICKS', usage) + subsystems),
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
    set_driver: (caller) => {
      setDefaultDriver(new Arguments(caller, 'BRICKS.set_driver').string(1, 'a driver of interfaces'));
      return 0;
    },
    drivers: (caller) => {
      pushValue(
        caller,
        drivers.map((driver) => driver.name),
      );
      return 1;
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
