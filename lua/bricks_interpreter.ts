// The interpreter of this program: Lua with BRICKS, PktEngine and Brick. What shell/ makes.
import { BricksError } from '../engine/errors.ts';
import { packageRoot } from '../package_info.ts';
import { Interpreter } from './interpreter.ts';
import { openBrick } from './lib_brick.ts';
import { openBricks } from './lib_bricks.ts';
import { openPktEngine } from './lib_pkt_engine.ts';

/** @param input what io.read() reads; undefined: standard input is a prompt's */
export function makeBricksInterpreter(input?: NodeJS.ReadableStream): Interpreter {
  const interpreter = new Interpreter({
    ...(input !== undefined && { input }),
    fallbackFolder: packageRoot,
    isUserError: (error) => error instanceof BricksError,
  });
  const { L, scheduler } = interpreter;
  openBricks(L, scheduler);
  openPktEngine(L, scheduler, openBrick(L, scheduler));
  return interpreter;
}
