// Makes a folder with those above it, where a user says it shall be.
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes what is missing of a path; others may do so at the same time. Throws what the system has against it.
 *
 * Not by the option `recursive` of mkdirSync(): with that Node 20 never returns where a file system takes no folders,
 * such as /proc.
 */
export function makeFolder(folder: string, mode = 0o777): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder), mode);
  try {
    mkdirSync(folder, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
