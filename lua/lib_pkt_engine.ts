// PktEngine: the global table and the objects it makes.
import type { Brick } from '../bricks/brick.ts';
import { getDefaultDriver } from '../engine/drivers.ts';
import { PktEngine } from '../engine/pkt_engine.ts';
import { Arguments } from './arguments.ts';
import { optionalText, pushValue } from './convert.ts';
import { extendTable } from './functions.ts';
import { tableHelp } from './help/help.ts';
import { pktEngineHelp } from './help/pkt_engine_help.ts';
import { type LuaState, lua } from './lua_api.ts';
import { ObjectType } from './object.ts';
import type { Scheduler } from './scheduler.ts';
import { engineBlock } from './statistics_text.ts';

function engineText(engine: PktEngine): string {
  const driver = engine.plan?.inputs[0]?.driver ?? getDefaultDriver();
  const batch = engine.plan === undefined ? 0 : engine.batchPackets;
  return `PktEngine:\n\tName: ${engine.name}\n\tType: ${driver}\n\tBatch: ${batch}`;
}

/** Puts `PktEngine` into the globals; returns the type of its objects. */
export function openPktEngine(L: LuaState, scheduler: Scheduler, brickType: ObjectType<Brick>): ObjectType<PktEngine> {
  const print = (text: string): number => {
    scheduler.print(Buffer.from(text));
    return 0;
  };
  const help = (caller: LuaState, first: number): number =>
    print(tableHelp(pktEngineHelp, optionalText(caller, first)));

  const type: ObjectType<PktEngine> = new ObjectType<PktEngine>(L, {
    name: 'PktEngine',
    text: engineText,
    methods: {
      help: (caller, _engine, first) => help(caller, first),
      link: (caller, engine, first) => {
        const args = new Arguments(caller, 'PktEngine.link', first);
        const brick = args.object(1, brickType, 'to send packets through');
        const batchPackets = args.optionalInteger(2, 'packets in a batch') ?? -1;
        const queueId = args.optionalInteger(3, 'the queue of the interface') ?? -1;
        return type.push(caller, engine.link(brick, { batchPackets, queueId }));
      },
      unlink: (caller, engine) => type.push(caller, engine.unlink()),
      start: (caller, engine) => type.push(caller, engine.start()),
      stop: (caller, engine) => type.push(caller, engine.stop()),
      delete: (_caller, engine) => {
        engine.delete();
        return 0;
      },
      wait: (caller, engine, first) => {
        const args = new Arguments(caller, 'PktEngine.wait', first);
        const timeoutS = args.has(1) ? args.number(1, 'seconds to wait at most') : Number.POSITIVE_INFINITY;
        return scheduler.wait(
          caller,
          (signal) => engine.wait(timeoutS, signal),
          (resumed, isDelivered) => {
            lua.lua_pushboolean(resumed, isDelivered);
            return 1;
          },
        );
      },
      stats: (caller, engine) => {
        pushValue(caller, engine.stats());
        return 1;
      },
      show_stats: (caller, engine) => {
        print(engineBlock(engine.stats()));
        return type.push(caller, engine);
      },
    },
  });

  extendTable(L, 'PktEngine', {
    help: (caller) => help(caller, 1),
    new: (caller) => {
      const args = new Arguments(caller, 'PktEngine.new');
      const name = args.string(1, "the engine's name");
      const bufferSlots = args.optionalInteger(2, 'slots in each pipe');
      const cpu = args.optionalInteger(3, 'the processor to run on');
      const options = { ...(bufferSlots !== undefined && { bufferSlots }), ...(cpu !== undefined && { cpu }) };
      return type.push(caller, new PktEngine(name, options));
    },
    retrieve: (caller) => {
      const args = new Arguments(caller, 'PktEngine.retrieve');
      return type.push(caller, PktEngine.retrieve(args.string(1, "the engine's name")));
    },
  });
  return type;
}
