// The interpreter of this program: Lua with BRICKS, PktEngine, Brick and help. What shell/ makes.
import { BricksError } from '../engine/errors.ts';
import { packageRoot } from '../package_info.ts';
import { Interpreter, type InterpreterOptions } from './interpreter.ts';
import { openBrick } from './lib_brick.ts';
import { openBricks } from './lib_bricks.ts';
import { openHelp } from './lib_help.ts';
import { openPktEngine } from './lib_pkt_engine.ts';
import type { ProgramControls } from './program.ts';

/** What the program gives its interpreter. */
export interface BricksInterpreterOptions extends Pick<InterpreterOptions, 'input' | 'memoryBudgetBytes'> {
  /** Its log, where it has one. */
  readonly program?: ProgramControls;
}

export function makeBricksInterpreter(options: BricksInterpreterOptions = {}): Interpreter {
  const { program, ...others } = options;
  const interpreter = new Interpreter({
    ...others,
    fallbackFolder: packageRoot,
    isUserError: (error) => error instanceof BricksError,
  });
  const { L, scheduler } = interpreter;
  openBricks(L, scheduler, program);
  const brickType = openBrick(L, scheduler);
  openHelp(L, scheduler, [brickType, openPktEngine(L, scheduler, brickType)]);
  return interpreter;
}
