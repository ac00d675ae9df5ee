/** `docs/reference/errors.md` against the table of errors itself, and Python's classes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, errorTable, GrpcStatus } from '../../proto/errors.js';

const root = new URL('../..', import.meta.url).pathname;
const textOf = (path: string) => readFileSync(join(root, path), 'utf8');

const rows = textOf('docs/reference/errors.md')
  .split('\n')
  .filter(line => /^\| [A-Z_]+ \|/.test(line))
  .map(line => line.split('|').map(cell => cell.trim()))
  .map(([, code, status, again, python, when, action]) => ({
    code,
    status,
    again,
    python,
    explained: Boolean(when) && Boolean(action),
  }));

const statusNames = Object.fromEntries(
  Object.entries(GrpcStatus).map(([name, number]) => [number, name]),
);
const pythonClasses = Object.fromEntries(
  [...textOf('client/python/kvspan/errors.py').matchAll(/^ {4}"([A-Z_]+)": (\w+),$/gm)].map(
    ([, code, name]) => [code, name],
  ),
);

describe('the page of error codes', () => {
  it('has every code once, and no other', () => {
    expect(new Set(rows.map(({ code }) => code))).toEqual(new Set(Object.keys(errorTable)));
    expect(rows).toHaveLength(Object.keys(errorTable).length);
  });

  it.each(rows)('says what is true of $code', ({ code, status, again, python, explained }) => {
    const entry = errorTable[code as ErrorCode];
    expect({ status, again, python, explained }).toEqual({
      status: statusNames[entry.status],
      again: entry.retryable ? 'yes' : 'no',
      python: pythonClasses[code as ErrorCode] ?? 'KvspanError',
      explained: true,
    });
  });
});
