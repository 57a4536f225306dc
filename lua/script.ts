// Loads a script in Lua that packets visit: its global function process(batch) is called with each batch, finish() at
// the end. Called by shell/bricks_script.ts; the interpreter is of that process alone, and has no engines.
import type { ScriptFunctions } from '../bricks/script/host.ts';
import type { ScriptBatch } from '../bricks/script/script_batch.ts';
import { ScriptFailure } from '../bricks/script/script_failure.ts';
import { BricksError } from '../engine/errors.ts';
import { pushValue } from './convert.ts';
import { pushFunction } from './functions.ts';
import { Interpreter } from './interpreter.ts';
import { openPackets } from './lib_packets.ts';
import { type LuaState, lua } from './lua_api.ts';
import type { Output, Task } from './task.ts';

const standardOutput: Output = {
  out: (bytes) => process.stdout.write(bytes),
  err: (bytes) => process.stderr.write(bytes),
  isProcessOutput: true,
};

/** Resolves when the chunk is done; a failure of it rejects. os.exit() ends this process, as it does in lua(1). */
async function done(task: Task): Promise<void> {
  const outcome = await task.outcome;
  if (outcome.kind === 'exit') process.exit(outcome.status);
  if (outcome.kind === 'error') throw new ScriptFailure(outcome.message);
}

class LuaScript implements ScriptFunctions {
  readonly #interpreter: Interpreter;
  readonly #pushBatch: (L: LuaState, batch: ScriptBatch) => void;

  constructor(interpreter: Interpreter) {
    this.#interpreter = interpreter;
    this.#pushBatch = openPackets(interpreter.L);
  }

  /** Runs the source; afterwards its functions are there. */
  async load(file: string, source: Uint8Array, argument: string | undefined): Promise<void> {
    const { L } = this.#interpreter;
    pushValue(L, argument === undefined ? [] : [argument]);
    lua.lua_setglobal(L, Buffer.from('arg'));
    const compiled = this.#interpreter.compile(source, file);
    if (compiled.kind !== 'compiled') throw new ScriptFailure(compiled.message);
    await done(compiled.start(standardOutput));
    if (this.#has('process')) return;
    const hint = 'write: function process(batch) ... end, and if need be: function finish() ... end';
    throw BricksError.of('SCRIPT_USELESS', { file, problem: 'it has no global function process', hint });
  }

  async process(batch: ScriptBatch): Promise<void> {
    const { L } = this.#interpreter;
    pushFunction(L, (caller) => {
      lua.lua_getglobal(caller, Buffer.from('process'));
      this.#pushBatch(caller, batch);
      // It may yield: its slice of time ends as any chunk's does.
      lua.lua_callk(caller, 1, 0, 0, () => 0);
      return 0;
    });
    await done(this.#interpreter.scheduler.start(standardOutput));
  }

  async finish(): Promise<void> {
    if (!this.#has('finish')) return;
    lua.lua_getglobal(this.#interpreter.L, Buffer.from('finish'));
    await done(this.#interpreter.scheduler.start(standardOutput));
  }

  #has(name: string): boolean {
    const { L } = this.#interpreter;
    const type = lua.lua_getglobal(L, Buffer.from(name));
    lua.lua_pop(L, 1);
    return type === lua.LUA_TFUNCTION;
  }
}

/** Loads the script. Rejects with ScriptFailure, or BricksError where it has no function process. */
export async function loadLua(
  file: string,
  source: Uint8Array,
  argument: string | undefined,
): Promise<ScriptFunctions> {
  const script = new LuaScript(new Interpreter({ isUserError: (error) => error instanceof BricksError }));
  await script.load(file, source, argument);
  return script;
}
