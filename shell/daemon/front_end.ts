// bricks-load-balance and bricks-duplicate: bricks-server with a script of the package, told by the environment what to do.
import { type ParsedCommand, UsageError } from '../command/options.ts';
import { runServer } from './start.ts';

/** Starts the daemon with scripts/NAME.lua for the interface and the number of outputs on the command line. */
export async function runFrontEnd(name: string, parsed: ParsedCommand): Promise<number> {
  const [iface = '', outputs = ''] = parsed.positionals;
  if (!/^[1-9]\d*$/.test(outputs)) throw new UsageError(`N: "${outputs}" is not a number of applications`);
  process.env.BRICKS_IFACE = iface;
  process.env.BRICKS_OUTPUTS = outputs;
  return runServer({ ...parsed, values: { ...parsed.values, file: `scripts/${name}.lua` } }, `bricks-${name}`);
}
