// What help says of a function: one row of a table. Lua's help, the README's table and the man pages are made of them.

export interface HelpEntry {
  /** The name and, in brackets, the arguments in the notation of packet-bricks: `sleep(<seconds>)`. */
  readonly signature: string;
  /** One or two sentences. */
  readonly text: string;
  /** Lua that runs as it is. */
  readonly example: string;
}

/** The functions of a global table and of its objects. */
export interface HelpTable {
  /** The global's name: "PktEngine". */
  readonly name: string;
  /** What the list of its functions is titled: "Packet Engine". */
  readonly title: string;
  /** One line. */
  readonly text: string;
  /** Where its functions are methods of the objects it makes: what examples call one, and which are the table's own. */
  readonly object?: { readonly variable: string; readonly ownFunctions: readonly string[] };
  /** By name, in the order of the list. */
  readonly entries: Readonly<Record<string, HelpEntry>>;
  /** What stands below the list. */
  readonly footer?: string;
}
