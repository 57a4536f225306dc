// Temporary folders, the demo capture and the corpus, for tests.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { projectFolder } from './programs.ts';

/** A folder that goes when the test `t` is over. */
export function makeFolder(t: Pick<TestContext, 'after'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'packet-bricks-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The capture that the repository carries. */
export const demoCapture = join(projectFolder, 'test/fixtures/demo.pcap');

const corpus = process.env.BRICKS_CORPUS;

/** Why tests of the corpus cannot run here, or false. */
export const skipCorpus: string | false =
  corpus !== undefined && existsSync(join(corpus, 'pcap'))
    ? false
    : 'needs the test corpus: set BRICKS_CORPUS to its folder';

/** A capture of the corpus. */
export function corpusCapture(name: string): string {
  return join(corpus ?? '', 'pcap', name);
}

/** A line of the corpus's manifest. */
export interface ManifestLine {
  readonly path: string;
  readonly format: string;
  readonly linkTypes: string;
  readonly packets: number;
  readonly maxLength: number;
  readonly features: string;
}

/** Every capture of the corpus. */
export function corpusManifest(): ManifestLine[] {
  const [, ...lines] = readFileSync(corpusCapture('MANIFEST.tsv'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const cells = line.split('\t');
    return {
      path: cells[0] ?? '',
      format: cells[4] ?? '',
      linkTypes: cells[5] ?? '',
      packets: Number(cells[6]),
      maxLength: Number(cells[8]),
      features: cells[11] ?? '',
    };
  });
}
