// The text of help(), from a table of functions.

/** A function as help() shows it: `new(<ioengine_name>, <queue_sz>, <cpu number>)`. */
export type Usage = readonly string[];

/** The list under its title, in the layout of packet-bricks. */
export function helpText(title: string, usage: Usage): string {
  return [`${title} Commands:`, ...usage.map((line) => `    ${line}`), ''].join('\n');
}
