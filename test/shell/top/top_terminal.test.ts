// bricks-top on a real terminal emulator (tmux): what is seen, what keys do, and the terminal as it was afterwards.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, type TestContext, test } from 'node:test';
import type { EngineSnapshot } from '../../../engine/snapshot.ts';
import { Brick } from '../../../index.ts';
import { demoCapture, makeFolder } from '../../support/files.ts';
import { nodeArguments, projectFolder, run, skipWithout, start, until } from '../../support/programs.ts';
import { renamed, snapshotsOf, withPorts } from './support.ts';

const skip = skipWithout('tmux');
const root = { after: (done: () => void) => process.on('exit', done) };
const child = 'test/shell/top/top_child.ts';

let engines: readonly EngineSnapshot[] = [];
before(async () => {
  process.env.BRICKS_RUNTIME_DIR = makeFolder(root);
  const balancer = new Brick('LoadBalancer')
    .connectInput(`pcap:${demoCapture}`)
    .connectOutput('t{0', 't{1', 't{2', 'null:');
  const { after } = await snapshotsOf([balancer]);
  const read = withPorts(after, (port) => (port.name === 't}0' ? { others: { ...port.others, reader_pid: 77 } } : {}));
  const running: EngineSnapshot = { ...read, stats: { ...read.stats, state: 'running' } };
  // Wide, and a tag of blessed: shown as they are. A control character: escaped.
  engines = ['e0', 'e1 {red-fg}', '日本e2', 'e3\u001b[2J'].map((name) => renamed(running, name));
});

/** A terminal of 80x24 with a shell in it, which has printed its prompt. */
class Terminal {
  readonly folder: string;

  constructor(t: TestContext) {
    // Before the folder goes, which holds its socket.
    t.after(() => {
      spawnSync('tmux', ['-S', join(this.folder, 'tmux'), 'kill-server']);
    });
    this.folder = makeFolder(t);
    this.tmux('-f', '/dev/null', '-u', 'new-session', '-d', '-x', '80', '-y', '24', 'PS1="ready$ " exec sh');
    writeFileSync(join(this.folder, 'engines.json'), JSON.stringify(engines));
  }

  tmux(...args: readonly string[]): string {
    return run('tmux', ['-S', join(this.folder, 'tmux'), ...args]);
  }

  keys(...names: readonly string[]): void {
    this.tmux('send-keys', ...names);
  }

  /** The lines that are seen. */
  screen(): string[] {
    return this.tmux('capture-pane', '-p').split('\n').slice(0, -1);
  }

  async seen(pattern: RegExp): Promise<string[]> {
    let last: string[] = [];
    try {
      return await until(`${pattern} on the screen`, () => {
        last = this.screen();
        return pattern.test(last.join('\n')) ? last : undefined;
      });
    } catch (error) {
      assert.fail(`${error instanceof Error ? error.message : ''}; there is:\n${last.join('\n')}`);
    }
  }

  format(variable: string): string {
    return this.tmux('display-message', '-p', `#{${variable}}`).trim();
  }

  /** Starts bricks-top from the shell of the terminal, and waits for the first rates. */
  async start(): Promise<void> {
    await this.seen(/ready\$/);
    const command = ['node', ...nodeArguments(child), join(this.folder, 'engines.json'), this.folder];
    this.keys(`cd ${projectFolder} && clear && echo before && ${command.join(' ')}; echo "status $?"`, 'Enter');
    await this.seen(/e0 running +\d+ pps/);
  }

  /** The process that the shell has started. */
  pid(): number {
    const shell = this.format('pane_pid');
    return Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim());
  }

  /** What the feed of the program is to do: top_child.ts. */
  set(what: 'lost' | 'still' | 'quiet', isOn: boolean): void {
    const file = join(this.folder, what);
    if (isOn) writeFileSync(file, '');
    else rmSync(file);
  }

  /** Waits until the feed has given so many snapshots more. */
  async given(count: number): Promise<void> {
    const snapshots = (): number => statSync(join(this.folder, 'snapshots')).size;
    const end = snapshots() + count;
    await until(`${count} snapshots`, () => snapshots() >= end);
  }

  /** Bytes that the program has written to the terminal. */
  written(): number {
    return statSync(join(this.folder, 'written')).size;
  }

  /** The shell is back, on its own screen, with a cursor and its line discipline. */
  async assertRestored(status: number): Promise<void> {
    const lines = await this.seen(new RegExp(`status ${status}$`, 'm'));
    assert.ok(lines.includes('before'), `what was on the screen before is there again:\n${lines.join('\n')}`);
    assert.equal(this.format('alternate_on'), '0', 'the alternate screen is left');
    assert.equal(this.format('cursor_flag'), '1', 'the cursor is visible');
    assert.equal(this.format('keypad_flag'), '0', 'the keypad sends digits');
    assert.equal(this.format('scroll_region_upper'), '0');
    this.keys('stty -a | tr ";" "\\n" | grep -ow -e -echo -e -icanon -e -isig; echo checked', 'Enter');
    const after = await this.seen(/^checked$/m);
    assert.deepEqual(
      after.filter((line) => /^-(echo|icanon|isig)$/.test(line)),
      [],
      'the line discipline is as it was',
    );
  }
}

test('the picture on 80x24: engines, pipes, readers, names as they are', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  assert.equal(terminal.format('alternate_on'), '1');
  const lines = terminal.screen();
  assert.equal(lines.length, 24);
  assert.match(lines[0] ?? '', /^packet-bricks 0\.1\.0 {2}daemon 4711 .*every 1 s$/);
  assert.match(lines.join('\n'), /├→ t\}0 .*zeek\[77\]/);
  assert.match(lines.join('\n'), /├→ t\}1 .*no reader/);
  assert.match(lines.at(-1) ?? '', /q quit/);
  terminal.keys('g');
  const rows = await terminal.seen(/e3\\u\{1b\}\[2J running/);
  assert.match(rows.join('\n'), /^e1 \{red-fg\} running/m);
  assert.match(rows.join('\n'), /^日本e2 running +\d+ pps/m);
  terminal.keys('q');
  await terminal.assertRestored(0);
});

test('keys: alone and back, sort, pause, interval, help, scrolling', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  terminal.keys('Down', 'Enter');
  const alone = await terminal.seen(/batches of 256/);
  assert.match(alone.join('\n'), /^e1 \{red-fg\} running/m);
  assert.doesNotMatch(alone.join('\n'), /e0 running/);
  terminal.keys('Escape');
  await terminal.seen(/enter alone/);
  terminal.keys('s');
  await terminal.seen(/sort: received/);
  terminal.keys('Space');
  await terminal.seen(/PAUSED$/m);
  terminal.keys('p');
  await terminal.seen(/every 1 s$/m);
  terminal.keys('+');
  await terminal.seen(/every 2 s$/m);
  await until(
    'the feed is asked for two seconds',
    () => readFileSync(join(terminal.folder, 'interval'), 'utf8') === '2000',
  );
  terminal.keys('?');
  await terminal.seen(/this help/);
  terminal.keys('x');
  await terminal.seen(/enter alone/);
  terminal.keys('PageDown', 'PageDown', 'PageDown');
  await terminal.seen(/日本e2 running[\s\S]*└→ null:/);
  terminal.keys('C-c');
  await terminal.assertRestored(0);
});

test('a daemon that goes and comes back', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  terminal.set('lost', true);
  await terminal.seen(/connection lost, waiting$/m);
  terminal.set('lost', false);
  await terminal.seen(/every 1 s$/m);
  terminal.keys('q');
  await terminal.assertRestored(0);
});

test('only what changes is written', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  terminal.set('quiet', true);
  await terminal.seen(/e0 running +0 pps/);
  const uptime = (): number => {
    const [, minutes = 0, seconds = 0] = (/up 0:(\d+):(\d+)/.exec(terminal.screen()[0] ?? '') ?? []).map(Number);
    return minutes * 60 + seconds;
  };
  const from = { uptime: uptime(), bytes: terminal.written() };
  await until('twenty pictures more', () => uptime() >= from.uptime + 20);
  const bytes = terminal.written() - from.bytes;
  // Looked at last: these are all that have been written, or one more.
  const perPicture = bytes / (uptime() - from.uptime);
  // A whole screen has 1920 cells. What changes: a digit or two of the uptime, a character of each sparkline.
  assert.ok(perPicture > 0 && perPicture < 300, `${perPicture} bytes for a picture of which only the clock moves`);
  terminal.set('still', true);
  // The first of them may be on its way still, and what the one before has changed.
  await terminal.given(2);
  const written = terminal.written();
  await terminal.given(5);
  assert.equal(terminal.written(), written, 'nothing is written for a picture that stays');
  terminal.keys('q');
  await terminal.assertRestored(0);
});

test('the picture follows the size of the terminal', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  terminal.tmux('resize-window', '-x', '132', '-y', '43');
  const large = await terminal.seen(/░{10}/);
  assert.equal(large.length, 43);
  assert.match(large.at(-1) ?? '', /q quit/);
  terminal.tmux('resize-window', '-x', '40', '-y', '8');
  const small = await until('the small picture', () => {
    const lines = terminal.screen();
    return lines.length === 8 && /q quit/.test(lines.at(-1) ?? '') && lines;
  });
  assert.match(small.join('\n'), /e0 running/);
  terminal.keys('q');
  await terminal.seen(/status 0/);
});

for (const [signal, status] of [
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGINT', 130],
] as const) {
  test(`${signal} gives the terminal back`, { skip }, async (t) => {
    const terminal = new Terminal(t);
    await terminal.start();
    process.kill(terminal.pid(), signal);
    await terminal.assertRestored(status);
  });
}

test('a terminal that goes away ends the program', { skip }, async (t) => {
  const terminal = new Terminal(t);
  await terminal.start();
  const pid = terminal.pid();
  terminal.tmux('kill-server');
  await until('the end of the program', () => !existsSync(`/proc/${pid}`));
});

test('without a terminal one line names the way out', async (t) => {
  const folder = makeFolder(t);
  writeFileSync(join(folder, 'engines.json'), '[]');
  const program = start(t, 'node', [...nodeArguments(child), join(folder, 'engines.json'), folder]);
  assert.deepEqual(await program.ended(), { code: 1, signal: null });
  assert.equal(program.output(), 'bricks-top: no terminal that can show a full screen; use bricks-top --once\n');
});
