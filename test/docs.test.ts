// Every snippet that users are shown runs: the fenced lua, ts and sh blocks of each README, the commands that the bricks'
// READMEs indent, and the examples of manual pages. Snippets that name interfaces run in a namespace that has them.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bricks } from '../bricks/registry.ts';
import { drivers, nativeBricks, probeDrivers } from '../engine/drivers.ts';
import { commands } from '../shell/command/tables.ts';
import { killDaemon, Runtime } from './support/daemon.ts';
import { demoCapture } from './support/files.ts';
import { connect, makeNamespace, type Namespace, skipLive } from './support/netns.ts';
import { nodeArguments, type Program, projectFolder, start } from './support/programs.ts';

interface Snippet {
  readonly file: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** What must be there for it to run: drivers, and files by their paths. Behind the language: "```lua needs xdp". */
  readonly needs: readonly string[];
}

const brickFolders = readdirSync(join(projectFolder, 'bricks'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => `bricks/${entry.name}`);
const pipeDocuments = [
  'engine/pipe/README.md',
  'native/examples/README.md',
  'native/libpcap/README.md',
  'native/pipe/README.md',
  'native/ports/README.md',
  'native/programs/WIRESHARK.md',
];
const documents = ['README.md', ...pipeDocuments, ...brickFolders.map((folder) => `${folder}/README.md`)];

/** Commands of the README that continuous integration runs as they are, or fresh_clone.test.ts does. */
const runElsewhere = ['npm ci && npm start', 'sudo .ci/deps && npm cit'];

function snippetsOf(file: string): Snippet[] {
  const text = readFileSync(join(projectFolder, file), 'utf8');
  const lineAt = (index: number): number => text.slice(0, index).split('\n').length;
  const fenced = [...text.matchAll(/^```(lua|ts|sh)(?: needs ([^\n]+))?\n(.*?)^```$/gms)].map((match) => ({
    file,
    line: lineAt(match.index),
    language: match[1] ?? '',
    text: match[3] ?? '',
    needs: match[2]?.split(' ') ?? [],
  }));
  const indented = [...text.matchAll(/^ {4}(bricks .*)$/gm)].map((match) => ({
    file,
    line: lineAt(match.index),
    language: 'sh',
    text: `${match[1]}\n`,
    needs: [],
  }));
  return [...fenced, ...indented].filter((snippet) => !runElsewhere.includes(snippet.text.trim()));
}

/** Why a snippet cannot run here, or false. */
function skipSnippet({ needs }: Snippet): string | false {
  for (const need of needs) {
    const driver = drivers.find(({ name }) => name === need);
    const reason = driver === undefined ? undefined : probeDrivers().find(({ name }) => name === need)?.reason;
    if (reason !== undefined) return reason;
    if (driver === undefined && !existsSync(need)) return `"${need}" is not there`;
  }
  return false;
}

/** Programs as users call them: those of this package, and a sudo that is root already. */
function makePath(folder: string): string {
  const { bin } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as {
    bin: Record<string, string>;
  };
  const programs = Object.entries(bin).map(([name, file]) => {
    const source = file.replace('./dist/', '').replace(/js$/, 'ts');
    return [name, `exec node ${nodeArguments(source).join(' ')} "$@"`] as const;
  });
  for (const [name, line] of [...programs, ['sudo', 'exec "$@"'] as const]) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${line}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return `${folder}:${process.env.PATH}`;
}

/** A namespace with eth2 and eth3, and traffic on eth3 for as long as the test runs. */
function makeHost(t: TestContext): Namespace {
  const host = makeNamespace(t, 'docs');
  const peer = makeNamespace(t, 'peer');
  connect(host, 'eth2', peer, 'peer2');
  connect(host, 'eth3', peer, 'peer3', 9000);
  const { command, args } = peer.inside(
    'tcpreplay',
    '-q',
    '--timer=nano',
    '--loop=0',
    '--pps=500',
    '-i',
    'peer3',
    demoCapture,
  );
  start(t, command, args, { stdio: 'ignore' });
  return host;
}

/** The program that runs a snippet, to be ended by SIGTERM where it stays. */
function commandFor(snippet: Snippet, folder: string): string[] {
  const file = join(folder, `snippet.${snippet.language}`);
  if (snippet.language === 'lua') {
    writeFileSync(file, `${snippet.text}\nprint("snippet ran")\n`);
    return ['bricks', '-f', file];
  }
  if (snippet.language === 'sh') {
    writeFileSync(file, `set -e\n${snippet.text}\necho "snippet ran"\n`);
    return ['bash', file];
  }
  // From the sources, as the programs are; their folder is where users have the package.
  const module = join(folder, 'snippet.mts');
  const usesApi = snippet.text.includes('import ') ? '' : `import { Brick, PktEngine } from 'packet-bricks';\n`;
  const text = `${usesApi}${snippet.text}`.replaceAll(
    /from 'packet-bricks'/g,
    `from '${join(projectFolder, 'index.ts')}'`,
  );
  writeFileSync(module, `${text}\nconsole.log("snippet ran");\n`);
  return ['node', '--import', import.meta.resolve('tsx'), module];
}

/** Runs a command line of a user on that host; its standard output and error come with it. */
function startOn(t: TestContext, host: Namespace, folder: string, line: readonly string[]): Program {
  const { command, args } = host.inside(...line);
  const home = { HOME: folder, XDG_CONFIG_HOME: join(folder, '.config'), BRICKS_RUNTIME_DIR: folder };
  const env = { ...process.env, ...home, PATH: makePath(folder), BRICKS_HISTORY: '' };
  return start(t, command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

test('every snippet of the documentation runs', { skip: skipLive('tcpreplay', 'tcpdump', 'tshark') }, async (t) => {
  const host = makeHost(t);
  for (const snippet of documents.flatMap(snippetsOf)) {
    await t.test(`${snippet.file}:${snippet.line} ${snippet.language}`, { skip: skipSnippet(snippet) }, async (t) => {
      const { folder } = new Runtime(t);
      const program = startOn(t, host, folder, commandFor(snippet, folder));
      await program.until(/snippet ran\n/);
      if (program.child.exitCode === null && snippet.language === 'lua') program.child.kill('SIGTERM');
      if (snippet.language === 'lua') assert.equal((await program.ended()).code, 0, program.output());
      assert.doesNotMatch(program.output(), /\berror\b|traceback/i);
    });
  }
});

/** Starts the daemon on that host, in a runtime directory of its own. */
async function startDaemonOn(t: TestContext, host: Namespace, ...args: readonly string[]): Promise<string> {
  const { folder } = new Runtime(t);
  const daemon = startOn(t, host, folder, ['bricks-server', ...args]);
  assert.equal((await daemon.ended()).code, 0, daemon.output());
  return folder;
}

test('Lua of the documentation runs in the daemon as well', { skip: skipLive('tcpreplay') }, async (t) => {
  const host = makeHost(t);
  for (const snippet of documents.flatMap(snippetsOf).filter(({ language }) => language === 'lua')) {
    await t.test(`${snippet.file}:${snippet.line}`, { skip: skipSnippet(snippet) }, async (t) => {
      const folder = await startDaemonOn(t, host);
      writeFileSync(join(folder, 'snippet.lua'), snippet.text);
      const shell = startOn(t, host, folder, ['sh', '-c', `bricks-shell < ${join(folder, 'snippet.lua')}`]);
      assert.equal((await shell.ended()).code, 0, shell.output());
    });
  }
});

test('what the README types at the prompt runs, in the daemon', { skip: skipLive('tcpreplay') }, async (t) => {
  const host = makeHost(t);
  const folder = await startDaemonOn(t, host, '-f', 'scripts/startup-one-thread.lua');
  const text = readFileSync(join(projectFolder, 'README.md'), 'utf8');
  const exchanges = [...text.matchAll(/^bricks> (.*)\n((?!bricks> |```).*\n)?/gm)];
  assert.ok(exchanges.length >= 2);
  for (const [, line = '', answer = ''] of exchanges) {
    const shell = startOn(t, host, folder, ['bricks-shell', '-e', line]);
    assert.equal((await shell.ended()).code, 0, shell.output());
    // Counts are of the moment.
    const shape = (output: string): string => output.replaceAll(/\d+/g, 'N');
    if (answer !== '') assert.equal(shape(shell.output()), shape(answer), line);
  }
});

/** Commands that need a daemon, with pipes of eth3. */
const needDaemon = [
  'bricks-shell',
  'bricks-top',
  'bricks-filter',
  'bricks-kill-server',
  'bricks-pipe',
  'bricks-extcap',
  'bricks-run',
  'bricks-script',
];

/** Examples that stay until they are ended, and what they say when they have begun. */
const staying: Readonly<Record<string, RegExp>> = {
  'bricks -f scripts/startup-one-thread.lua': /e0/,
  'bricks-server --foreground --log - -f scripts/startup-one-thread.lua': /listens at/,
};

test('every example of the manual pages runs', { skip: skipLive('tcpreplay', 'tcpdump', 'tshark') }, async (t) => {
  const host = makeHost(t);
  for (const { name, examples } of commands) {
    const { folder } = new Runtime(t);
    for (const { line } of examples) {
      await t.test(`${name}: ${line}`, async (t) => {
        if (needDaemon.includes(name) && !existsSync(join(folder, 'control.sock'))) {
          const script = name === 'bricks-filter' ? 'startup-filter.lua' : 'startup-one-thread.lua';
          const daemon = startOn(t, host, folder, ['bricks-server', '-f', `scripts/${script}`]);
          assert.equal((await daemon.ended()).code, 0, daemon.output());
        }
        const program = startOn(t, host, folder, ['bash', '-o', 'pipefail', '-c', `cd ${folder} && ${line}`]);
        const begun = staying[line];
        if (begun !== undefined) {
          await program.until(begun);
          program.interrupt().catch(() => {});
        }
        assert.equal((await program.ended()).code, 0, program.output());
        assert.doesNotMatch(program.output(), /\berror\b|traceback/i);
        // One daemon in a runtime directory: those that start one leave it to the next example to end.
        if (name === 'bricks-server') await killDaemon(folder);
      });
    }
  }
});

test('the page on pipes names every option and counter of both directions', () => {
  const text = readFileSync(join(projectFolder, 'native/pipe/README.md'), 'utf8');
  const ofPipes = drivers.filter(({ name }) => name === 'pipe' || name === 'inject');
  assert.equal(ofPipes.length, 2);
  const options = tableOf(text, 'Options of the port');
  for (const { name, options: declared } of ofPipes) {
    const direction = name === 'pipe' ? 'to the application' : 'from the application';
    const documented = options.filter(([, of]) => of === 'both' || of === direction);
    const names = documented.flatMap(([cell = '']) => cell.replaceAll('`', '').split(', '));
    assert.deepEqual(names.sort(), Object.keys(declared).sort(), name);
  }
  for (const { name, counters } of ofPipes)
    for (const counter of counters)
      assert.match(text, new RegExp(`\\| .*\`${counter.name}\``), `${name}: ${counter.name}`);
});

test('the page on drivers has a row for each, and a section that names its options', () => {
  const text = readFileSync(join(projectFolder, 'native/ports/README.md'), 'utf8');
  const sections = new Map(text.split(/^## /m).map((section) => [section.split('\n')[0], section]));
  for (const { name, names, options } of drivers) {
    assert.match(text, new RegExp(`^\\| \\[[^\\]]*\\b${name}\\b`, 'm'), name);
    if (names === 'pipe') continue; // They have a page of their own.
    for (const option of Object.keys(options))
      assert.ok(sections.get(name)?.includes(`\`${option}\``), `${name}: ${option}`);
  }
});

/** The rows of the table below a heading, as cells. */
function tableOf(text: string, heading: string): string[][] {
  const section = new RegExp(`^## ${heading}\n(.*?)(?=^## |$(?![\\s\\S]))`, 'ms').exec(text)?.[1] ?? '';
  return [...section.matchAll(/^\| `(.*)\|$/gm)].map((row) => `\`${row[1]}`.split(' | ').map((cell) => cell.trim()));
}

test("each brick's README agrees with its schema and counters", () => {
  for (const descriptor of bricks.values()) {
    const folder = descriptor.name.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
    const text = readFileSync(join(projectFolder, 'bricks', folder, 'README.md'), 'utf8');
    for (const heading of [
      'Synopsis',
      'Ports',
      'Options',
      'Counters',
      'Example',
      'When it drops',
      'Known limits',
      'Cost',
    ]) {
      assert.match(text, new RegExp(`^## ${heading}$`, 'm'), `${folder}: ${heading}`);
    }
    const documented = tableOf(text, 'Options').map(([name, type, initial, meaning]) => [name, type, initial, meaning]);
    const declared = Object.entries(descriptor.options).map(([name, schema]) => [
      `\`${name}\``,
      schema.type,
      // Without a default something else decides, as the README says in its place.
      String(schema.default ?? documented.find(([cell]) => cell === `\`${name}\``)?.[2]),
      schema.text,
    ]);
    assert.deepEqual(documented, declared, `${folder}: options`);
    const { counters = [], outputCounters = [] } = nativeBricks.find((brick) => brick.name === descriptor.name) ?? {};
    const section = /^## Counters\n(.*?)^## /ms.exec(text)?.[1] ?? '';
    for (const counter of [...counters, ...outputCounters])
      assert.match(section, new RegExp(`\`${counter.name}\``), `${folder}: ${counter.name}`);
  }
});
