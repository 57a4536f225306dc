// Brick: the global table and the objects it makes.
import { Brick } from '../bricks/brick.ts';
import { Arguments } from './arguments.ts';
import { optionalText, pushValue } from './convert.ts';
import { extendTable } from './functions.ts';
import { brickHelp } from './help/brick_help.ts';
import { objectHelp, tableHelp } from './help/help.ts';
import type { LuaState } from './lua_api.ts';
import { type ObjectMethod, ObjectType } from './object.ts';
import type { Scheduler } from './scheduler.ts';

function brickText(brick: Brick): string {
  const lines = [`Brick:`, `\tType: ${brick.descriptor.name}`];
  if (brick.inputs.length > 0) lines.push(`\tInputs: ${brick.inputs.join(', ')}`);
  if (brick.outputs.length > 0) lines.push(`\tOutputs: ${brick.outputs.join(', ')}`);
  return lines.join('\n');
}

/** Puts `Brick` into the globals; returns the type of its objects. */
export function openBrick(L: LuaState, scheduler: Scheduler): ObjectType<Brick> {
  const print = (text: string): number => {
    scheduler.print(Buffer.from(text));
    return 0;
  };

  /** What the brick's descriptor adds: `f:add{...}`. */
  const commandMethods = ({ descriptor }: Brick): Record<string, ObjectMethod<Brick>> => {
    const method = (command: string): ObjectMethod<Brick> => {
      return (caller, self, first) => {
        const args = new Arguments(caller, `${self.descriptor.name}.${command}`, first);
        pushValue(caller, self.call(command, args.plain(1, 'what the command is about')));
        return 1;
      };
    };
    return Object.fromEntries(Object.keys(descriptor.commands ?? {}).map((command) => [command, method(command)]));
  };

  const type: ObjectType<Brick> = new ObjectType<Brick>(L, {
    name: 'Brick',
    text: brickText,
    ownMethods: commandMethods,
    methods: {
      help: (caller, { descriptor }, first) => print(objectHelp(brickHelp, descriptor, optionalText(caller, first))),
      connect_input: (caller, brick, first) => {
        const args = new Arguments(caller, 'Brick.connect_input', first);
        return type.push(caller, brick.connectInput(...args.strings(1, 'an input: an interface, a pipe or a file')));
      },
      connect_output: (caller, brick, first) => {
        const args = new Arguments(caller, 'Brick.connect_output', first);
        return type.push(caller, brick.connectOutput(...args.strings(1, 'an output: a pipe, an interface or a file')));
      },
      connect_outputs: (caller, brick, first) => {
        const args = new Arguments(caller, 'Brick.connect_outputs', first);
        const name = args.string(1, "the pipes' name");
        return type.push(caller, brick.connectOutputs(name, args.integer(2, 'how many pipes')));
      },
      link: (caller, brick, first) => {
        const args = new Arguments(caller, 'Brick.link', first);
        return type.push(caller, brick.link(...args.objects(1, type, 'to put below this one')));
      },
    },
  });

  extendTable(L, 'Brick', {
    help: (caller) => print(tableHelp(brickHelp, optionalText(caller, 1))),
    new: (caller) => {
      const args = new Arguments(caller, 'Brick.new');
      const name = args.string(1, "the brick's type");
      const brick = new Brick(name, args.value(2, 'its options, or the value of its main one'));
      if (brick.greeting !== undefined) print(`${brick.greeting}\n`);
      return type.push(caller, brick);
    },
  });
  return type;
}
