/** The guides' examples, as they stand there, run by a user's means against a daemon of one pool. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { transformSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Admin } from '../support/admin.js';
import { startDaemon, type TestDaemon } from '../support/daemon.js';
import { until } from '../support/until.js';

const root = new URL('../..', import.meta.url).pathname;
const examples = join(root, 'docs/clients/examples');
const built = join(root, 'build/docs-examples');
const python = join(root, 'build/python/venv/bin/python');
const cli = [process.execPath, join(root, 'build/ts/client/cli/main.js')];

/** What each prints, whatever the language. */
const firstLines = [
  'connected: backend host, pages of 2097152 bytes',
  /^K of layer 0: .8, 4096, 8, 64., strides .16777216, 4096, 64, 1.$/,
  /^300 tokens, the last row is [Tt]rue$/,
];
const engineLines = [/^8 requests completed, preempted: [Tt]rue$/];
const reserveLines = ['admitted 4 of 8', 'slots that were short: 0'];
const reclaimLines = [
  /^asked with a deadline: [Tt]rue; preempted for it: [Tt]rue$/,
  /^the other has its memory: [Tt]rue$/,
];
const lifecycleLines = [
  /^disconnected: SESSION_EVICTED, will reconnect: [Ff]alse$/,
  'state evicted; its request still has 100 tokens',
  'more memory is refused: SESSION_EVICTED',
];
const errorLines = [
  /INVALID_ARGUMENT .*may be tried again: [Ff]alse$/,
  /SLOT_UNKNOWN.*, may be tried again: [Ff]alse$/,
  /QUOTA_EXHAUSTED, may be tried again: [Tt]rue$/,
  '  asked more than is free',
  /^ {2}held by this process: [Tt]rue$/,
  /CLOSED, may be tried again: [Ff]alse$/,
];

const printed: Readonly<Record<string, readonly (string | RegExp)[]>> = {
  first: firstLines,
  engine: engineLines,
  reserve: reserveLines,
  reclaim: reclaimLines,
  lifecycle: lifecycleLines,
  errors: errorLines,
  attention: [
    'rows of (300, 8, 64), strides (4096, 64, 1): a view, not a copy',
    'attention: (16, 1, 64), finite: True',
  ],
  generate: ['the same tokens as with the default cache: True'],
};

let daemon: TestDaemon;
let admin: Admin;

beforeAll(async () => {
  daemon = await startDaemon({ poolBytes: '64MiB' });
  admin = new Admin(daemon.directory);
  mkdirSync(built, { recursive: true });
});

afterAll(async () => {
  admin.close();
  await daemon.stop();
});

async function run(command: readonly string[]): Promise<string> {
  const [program = '', ...args] = command;
  const env = { ...process.env, KVSPAN_SOCKET_DIR: daemon.directory, PYTHONDONTWRITEBYTECODE: '1' };
  const child = spawn(program, args, { cwd: built, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let complaints = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  const status = await new Promise(resolve => child.once('close', resolve));
  expect(status, `${output}\n${complaints}`).toBe(0);
  return output;
}

/** It prints what is expected, and leaves the pool as it found it. */
async function expectExample(name: string, command: readonly string[]): Promise<void> {
  const lines = (await run(command)).trimEnd().split('\n');
  expect(lines).toEqual((printed[name] ?? []).map(asLine));
  await until('nothing is left of it', async () => {
    const pool = await admin.pool();
    return pool.usedBytes === 0n && pool.promisedBytes === 0n;
  });
}

const asLine = (line: string | RegExp) =>
  typeof line === 'string' ? line : expect.stringMatching(line);

const named = (ending: string) =>
  readdirSync(examples)
    .filter(file => file.endsWith(ending))
    .map(file => basename(file, ending));

describe('the examples for TypeScript', () => {
  it.each(named('.ts'))('%s', async name => {
    const source = readFileSync(join(examples, `${name}.ts`), 'utf8');
    const { code } = transformSync(source, { loader: 'ts', format: 'esm' });
    const script = join(built, `${name}.mjs`);
    writeFileSync(script, code);
    await expectExample(name, [process.execPath, script]);
  });
});

/** Null: they can run; else why not. */
function whyNot(): string | null {
  const state = join(root, 'build/python/state.json');
  if (!existsSync(state)) return 'the wheel is not built: npm test, or npm run build:python';
  return (JSON.parse(readFileSync(state, 'utf8')) as { skip: string | null }).skip;
}

const needs: Readonly<Record<string, readonly string[]>> = {
  attention: ['torch'],
  generate: ['torch', 'transformers'],
};

/** Null: this example can run here; else why not. */
function whyNotThis(name: string): string | null {
  if (name === 'flash_attention') return 'needs a GPU: run by hand beside a daemon that serves one';
  for (const module of needs[name] ?? []) {
    const { status } = spawnSync(python, ['-c', `import ${module}`]);
    if (status !== 0) return `${module} is not installed`;
  }
  return null;
}

const skip = whyNot();

describe('the examples for Python', () => {
  it.for(named('.py'))('%s', async (name, context) => {
    const reason = skip ?? whyNotThis(name);
    if (reason !== null) context.skip(reason);
    const words = name === 'lifecycle' ? cli : [];
    await expectExample(name, [python, join(examples, `${name}.py`), ...words]);
  });
});

describe('the guides', () => {
  it('show the examples as they are', () => {
    const check = spawnSync(process.execPath, [join(root, 'docs/embed.mjs'), '--check']);
    expect(check.status, check.stderr.toString()).toBe(0);
  });

  it.each(['typescript', 'python'])('for %s show all of them', language => {
    const guide = readFileSync(join(root, `docs/clients/${language}.md`), 'utf8');
    const ending = language === 'python' ? '.py' : '.ts';
    for (const name of named(ending)) expect(guide).toContain(`<!-- examples/${name}${ending} -->`);
  });
});
