// Finds the bricks: each folder beside this file that holds <folder>/<folder>.ts with a `descriptor`.
import { readdirSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BricksError } from '../engine/errors.ts';
import type { BrickDescriptor } from '../engine/graph.ts';

const here = new URL('.', import.meta.url);
/** .ts from the sources, .js from dist/. */
const extension = extname(fileURLToPath(import.meta.url));

const found = new Map<string, BrickDescriptor>();
for (const entry of readdirSync(here, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
  if (!entry.isDirectory()) continue;
  const module = new URL(`${entry.name}/${entry.name}${extension}`, here);
  const { descriptor } = (await import(module.href)) as { descriptor: BrickDescriptor };
  found.set(descriptor.name, descriptor);
}

/** Every brick, by name. */
export const bricks: ReadonlyMap<string, BrickDescriptor> = found;

/** The brick of that name. Throws BRICK_UNKNOWN. */
export function findBrick(name: string): BrickDescriptor {
  const descriptor = found.get(name);
  if (descriptor === undefined) {
    throw BricksError.of('BRICK_UNKNOWN', { brick: name, have: [...found.keys()].join(', ') });
  }
  return descriptor;
}
