/**
 * The Python client's tests, each a test here, so that it is counted: pytest runs once, against the
 * wheel installed in build/python/venv (`npm test` makes both), and says what became of each.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
const here = join(root, 'test/python');
const python = join(root, 'build/python/venv/bin/python');
const RUN_TIMEOUT_MS = 400_000;

interface Outcome {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly text: string;
}

/** Null: they can run; else why not. */
function whyNot(): string | null {
  const state = join(root, 'build/python/state.json');
  if (!existsSync(state)) return 'the wheel is not built: npm test, or npm run build:python';
  return (JSON.parse(readFileSync(state, 'utf8')) as { skip: string | null }).skip;
}

function run(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  // What is installed is tested: from a folder in which no package of the same name lies.
  const child = spawn(python, args, {
    cwd: here,
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise(resolve => child.once('close', status => resolve(`${output}\n${status}`)));
}

const skip = whyNot();
function listed(): string[] {
  if (skip !== null) return [];
  const args = ['-m', 'pytest', '--collect-only', '-q', '-p', 'no:cacheprovider', here];
  const listing = execFileSync(python, args, { encoding: 'utf8', cwd: root });
  return listing.split('\n').filter(line => line.includes('::'));
}

const name = (id: string): string => id.split('/').at(-1) as string;

describe('Python client, where there is one to test with', () => {
  it('has a Python for its tests', context => {
    // Shown with the skipped tests, with the reason; the tests themselves are not even listed then.
    if (skip !== null) context.skip(skip);
    expect(existsSync(python)).toBe(true);
  });
});

describe.skipIf(skip !== null)('Python client', () => {
  let outcomes: Record<string, Outcome> = {};
  let said = '';

  beforeAll(async () => {
    const results = join(root, 'build/python/outcomes.json');
    rmSync(results, { force: true });
    said = await run(['-m', 'pytest', '-q', '-p', 'no:cacheprovider', here], {
      KVSPAN_TEST_OUTCOMES: results,
    });
    const all = existsSync(results)
      ? (JSON.parse(readFileSync(results, 'utf8')) as Record<string, Outcome>)
      : {};
    outcomes = Object.fromEntries(Object.entries(all).map(([id, value]) => [name(id), value]));
  }, RUN_TIMEOUT_MS);

  it.for(listed().map(name))('%s', (id, context) => {
    const outcome = outcomes[id];
    if (outcome?.outcome === 'skipped') context.skip(outcome.text);
    expect(outcome, said).toBeDefined();
    expect(outcome?.outcome, outcome?.text).toBe('passed');
  });

  it('has types that hold (mypy --strict)', { timeout: 120_000 }, async () => {
    const folder = join(root, 'client/python');
    const config = ['--config-file', join(folder, 'pyproject.toml')];
    const cache = ['--cache-dir', join(root, 'build/python/mypy')];
    const output = await run(['-m', 'mypy', ...config, ...cache, join(folder, 'kvspan')]);
    expect(output.trim().endsWith('\n0'), output).toBe(true);
  });

  it('has its messages as proto/ would make them', async () => {
    const output = await run([join(root, 'client/python/generate.py'), '--check']);
    expect(output.trim(), output).toBe('0');
  });
});
