// Writes the manual pages of all commands to dist/man/: `npm run man`, and a part of `npm run build`.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot, version } from '../../package_info.ts';
import { manPage } from './man_page.ts';
import { commands } from './tables.ts';

const folder = join(packageRoot, 'dist/man');
// Builds that are to be the same each time say their date in seconds: reproducible-builds.org/specs/source-date-epoch.
const epoch = process.env.SOURCE_DATE_EPOCH;
const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);

mkdirSync(folder, { recursive: true });
for (const command of commands) {
  writeFileSync(join(folder, `${command.name}.1`), manPage(command, { version, date, commands }));
}
