/** What the documentation names is there: tests, figures, files, alerts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = new URL('../..', import.meta.url).pathname;
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');
const REFERENCE = /`((?:test|bench)\/[^`]+)`: "([^"]+)"(?: = ([\d.]+) (\w+))?/g;

interface Row {
  readonly case: string;
  readonly variant: string;
  readonly unit: string;
  readonly median: number;
}

/** Null: it is there. */
function whatIsWrong([, path = '', name = '', value, unit]: RegExpMatchArray): string | null {
  if (!existsSync(join(root, path))) return `${path} is not there`;
  if (!path.endsWith('.json')) return isTitle(textOf(path), name) ? null : `${path}: ${name}`;
  const { rows } = JSON.parse(textOf(path)) as { rows: readonly Row[] };
  const row = rows.find(one => `${one.case} / ${one.variant}` === name);
  return row?.median === Number(value) && row.unit === unit ? null : `${path}: ${name} = ${value}`;
}

/** A whole string of the file, or a function of Python's. */
const isTitle = (text: string, name: string): boolean =>
  text.includes(`def ${name}(`) ||
  ["'", '"', '`'].some(quote => text.replaceAll("\\'", "'").includes(`${quote}${name}${quote}`));

describe.each(['specification', 'threat-model'])('%s.md', name => {
  it('names tests and figures that there are', () => {
    const references = [...textOf(`docs/${name}.md`).matchAll(REFERENCE)];
    expect(references.length).toBeGreaterThan(20);
    expect(references.map(whatIsWrong).filter(wrong => wrong !== null)).toEqual([]);
  });
});

it('every promise has a number of its own, in order, and something that shows it', () => {
  const rows = textOf('docs/specification.md').match(/^\| S-\d+ .*$/gm) ?? [];
  expect(rows.map(row => /S-(\d+)/.exec(row)?.[1])).toEqual(rows.map((_, index) => `${index + 1}`));
  expect(rows.filter(row => !/`(test|bench)\/|not on a GPU yet/.test(row))).toEqual([]);
});

it('every alert has a section in the runbook, and no other is there', () => {
  const names = [...textOf('docs/monitoring/alerts.yaml').matchAll(/alert: (\w+)/g)];
  const sections = [...textOf('docs/runbook.md').matchAll(/^## (Kvspan\w+)$/gm)];
  expect(sections.map(([, name]) => name)).toEqual(names.map(([, name]) => name));
});

const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .filter(path => path.endsWith('.md'))
  .map(path => `docs/${path}`);

/** As GitHub makes them of headings. */
const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

it.each(['README.md', ...pages])('the links of %s lead somewhere', page => {
  const wrong = [...textOf(page).matchAll(/\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)/g)].filter(
    ([, path = '', anchor]) => {
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, target))) return true;
      return anchor !== undefined && !anchorsOf(textOf(target)).includes(anchor);
    },
  );
  expect(wrong.map(([link]) => link)).toEqual([]);
});
