/** Style that is worth enforcing, as tests: what a reviewer should never have to say. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { version } from '../../proto/version.js';

const root = new URL('../..', import.meta.url).pathname;
const LINES_MAX = 400;
const COLUMNS_MAX = 110;
const TOP_LEVEL = ['proto', 'daemon', 'native', 'client', 'kernels', 'test', 'bench', 'docs'];
const TOP_LEVEL_FILES = [
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'README.md',
  'CHANGELOG.md',
  'LICENSE',
];

function listed(): string[] {
  if (!existsSync(join(root, '.git'))) return [];
  return execFileSync(
    'git',
    ['-C', root, 'ls-files', '--cached', '--others', '--exclude-standard'],
    {
      encoding: 'utf8',
    },
  )
    .split('\n')
    .filter(path => path !== '' && existsSync(join(root, path)));
}

const files = listed();
const sources = files.filter(
  path =>
    /\.(ts|mjs|c|h|cpp|hpp|proto|py)$/.test(path) &&
    !path.startsWith('proto/generated/') &&
    !path.startsWith('client/python/kvspan/v1/'),
);
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');

describe.skipIf(files.length === 0)('tidy', () => {
  it('every file lies in a folder of the layout', () => {
    const strays = files.filter(path => {
      const [top = '', ...rest] = path.split('/');
      if (top.startsWith('.')) return false;
      return rest.length === 0 ? !TOP_LEVEL_FILES.includes(top) : !TOP_LEVEL.includes(top);
    });
    expect(strays).toEqual([]);
  });

  it(`no source file has more than ${LINES_MAX} lines`, () => {
    const long = sources.filter(path => textOf(path).split('\n').length > LINES_MAX + 1);
    expect(long).toEqual([]);
  });

  it(`no source line has more than ${COLUMNS_MAX} columns`, () => {
    const long = sources.flatMap(path =>
      textOf(path)
        .split('\n')
        .map((line, index) => ({ at: `${path}:${index + 1}`, columns: Array.from(line).length }))
        .filter(line => line.columns > COLUMNS_MAX)
        .map(line => line.at),
    );
    expect(long).toEqual([]);
  });

  it('nothing is left to do in a comment', () => {
    const word = new RegExp(
      `\\b(${['TO', 'FIX', 'XX'].map((a, i) => a + ['DO', 'ME', 'X'][i]).join('|')})\\b`,
    );
    expect(sources.filter(path => word.test(textOf(path)))).toEqual([]);
  });

  it('no test is focused or skipped without a reason', () => {
    const marks = new RegExp(`\\b(it|test|describe)\\.(${['only', 'skip', 'todo'].join('|')})\\(`);
    expect(sources.filter(path => path.startsWith('test/') && marks.test(textOf(path)))).toEqual(
      [],
    );
  });

  it('the version is the same everywhere', () => {
    const pack = JSON.parse(textOf('package.json')) as { version: string };
    expect(pack.version).toBe(version);
  });

  it('the shipped Python prints nothing', () => {
    const shipped = sources.filter(path => /^client\/python\/kvspan\/.*\.py$/.test(path));
    expect(shipped.length).toBeGreaterThan(0);
    expect(shipped.filter(path => /^\s*print\(/m.test(textOf(path)))).toEqual([]);
  });

  it('the shipped code logs through the logger and the tables, not the console', () => {
    const shipped = sources.filter(path =>
      /^(daemon|client\/typescript|native|proto)\/.*\.ts$/.test(path),
    );
    expect(shipped.filter(path => /\bconsole\./.test(textOf(path)))).toEqual([]);
  });

  it('every benchmark result has the common form', () => {
    for (const path of files.filter(file => /^bench\/results\/.*\.json$/.test(file))) {
      const result = JSON.parse(textOf(path)) as Record<string, unknown>;
      for (const key of ['bench', 'device', 'driver', 'commit', 'date']) {
        expect(typeof result[key], `${path}: ${key}`).toBe('string');
      }
      for (const row of result['rows'] as Record<string, unknown>[]) {
        expect(Object.keys(row), path).toEqual([
          'case',
          'variant',
          'unit',
          'median',
          'min',
          'max',
          'n',
        ]);
      }
    }
  });
});
