// bricks-extcap --install and --uninstall: what stands in Wireshark's extcap folders.
//
// That is a script which starts the native program as it is built now, and where that has gone - an upgrade of the
// package builds another in another folder - this command, which finds or builds it, more slowly.
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BricksError, errorText } from '../engine/errors.ts';
import { nativeFiles } from '../native/build.ts';
import { exitStatus, type ParsedCommand, UsageError } from './command/options.ts';
import { makeFolder } from './make_folder.ts';
import { nativeProgramPath } from './native_program.ts';

const fileName = nativeFiles.extcapProgram;

/** By this line a file is known to be ours. */
const mark = '# Installed by bricks-extcap --install; bricks-extcap --uninstall removes it.';

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

function script(): string {
  const program = quote(nativeProgramPath(nativeFiles.extcapProgram, fileName));
  const command = fileURLToPath(new URL(`./bricks_extcap${import.meta.url.slice(-3)}`, import.meta.url));
  const slowly = [process.execPath, ...process.execArgv, command].map(quote).join(' ');
  return `#!/bin/sh\n${mark}\nif [ -x ${program} ]; then exec ${program} "$@"; fi\nexec ${slowly} "$@"\n`;
}

/** The user's own: Wireshark to 4.0 looks into the first, from 4.2 on into the second, none into both. */
function personalFolders(): string[] {
  const configuration = process.env.XDG_CONFIG_HOME || join(homedir(), '.config');
  return [join(configuration, 'wireshark/extcap'), join(homedir(), '.local/lib/wireshark/extcap')];
}

/** All users': the folder has a name of the processor's, or of the distribution's. */
function systemFolders(): string[] {
  const libraries = readdirSync('/usr/lib').map((name) => join('/usr/lib', name));
  const found = [...libraries, '/usr/lib', '/usr/lib64', '/usr/libexec', '/usr/local/lib', '/usr/local/libexec']
    .map((folder) => join(folder, 'wireshark/extcap'))
    .filter((folder) => existsSync(folder));
  if (found.length > 0) return found;
  throw BricksError.of('EXTCAP_FOLDER', {
    folder: 'wireshark/extcap',
    problem: 'not there in /usr/lib and the like',
    hint: 'tshark -G folders names it "Extcap path": give that to --folder',
  });
}

function foldersOf({ values, switches }: ParsedCommand): string[] {
  const { folder } = values;
  if (folder !== undefined && switches.has('system')) throw new UsageError('give --folder or --system, not both');
  if (folder !== undefined) return [resolve(folder)];
  return switches.has('system') ? systemFolders() : personalFolders();
}

/** What is at that path: nothing, a file of ours or a link to one, or somebody else's. */
function ownerOf(file: string): 'nobody' | 'us' | 'others' {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return 'nobody';
  if (stat.isSymbolicLink()) return basename(readlinkSync(file)) === fileName ? 'us' : 'others';
  return stat.isFile() && readFileSync(file, 'utf8').includes(`\n${mark}\n`) ? 'us' : 'others';
}

function install(file: string, folder: string): void {
  if (ownerOf(file) === 'others') throw BricksError.of('EXTCAP_FOREIGN', { file });
  makeFolder(folder);
  // Whoever starts it meanwhile gets the whole of one or the other.
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, script());
  chmodSync(temporary, 0o755);
  renameSync(temporary, file);
  process.stdout.write(`installed ${file}\n`);
}

function uninstall(file: string): void {
  const owner = ownerOf(file);
  if (owner === 'others') throw BricksError.of('EXTCAP_FOREIGN', { file });
  if (owner === 'nobody') return;
  rmSync(file);
  process.stdout.write(`removed ${file}\n`);
}

/** Runs the program; the exit status. */
export async function runExtcapInstall(parsed: ParsedCommand): Promise<number> {
  const { switches } = parsed;
  if (switches.has('install') === switches.has('uninstall')) {
    throw new UsageError('one of --install and --uninstall is needed');
  }
  for (const folder of foldersOf(parsed)) {
    const file = join(folder, fileName);
    try {
      if (switches.has('install')) install(file, folder);
      else uninstall(file);
    } catch (error) {
      if (error instanceof BricksError) throw error;
      const hint = 'choose one that you may write to, with --folder';
      throw BricksError.of('EXTCAP_FOLDER', { folder, problem: errorText(error), hint });
    }
  }
  return exitStatus.success;
}
