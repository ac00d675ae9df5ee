/** Reads the results that lie in a directory. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { badField } from '../../proto/errors.js';
import { type BenchResult, isPartial, units } from './results.js';

const figure = z.number();

const resultSchema = z.object({
  bench: z.string(),
  device: z.string(),
  backend: z.string(),
  driver: z.string(),
  commit: z.string(),
  date: z.string(),
  machine: z.object({
    cpu: z.string(),
    cores: z.number(),
    node: z.string().optional(),
    python: z.string().optional(),
    libraries: z.record(z.string(), z.string()).optional(),
    clocks: z.string().nullable().optional(),
  }),
  rows: z.array(
    z.object({
      case: z.string(),
      variant: z.string(),
      unit: z.enum(units),
      median: figure,
      min: figure,
      max: figure,
      n: z.number().int().positive(),
    }),
  ),
  notes: z.array(z.object({ case: z.string(), way: z.string(), text: z.string() })).optional(),
  absent: z.array(z.string()).optional(),
});

/**
 * Every `*.json` of the directory but those of smoke runs, GPUs first. One with parts absent counts
 * where there is no complete one.
 */
export function loadResults(directory: string): BenchResult[] {
  return jsonFiles(directory)
    .map(path => parseResult(path, readFileSync(path, 'utf8')))
    .filter(result => !result.bench.endsWith('-smoke'))
    .filter((result, _, all) => !isPartial(result) || !all.some(other => supersedes(other, result)))
    .toSorted((a, b) => rank(a) - rank(b) || compareText(a.device, b.device));
}

const supersedes = (other: BenchResult, partial: BenchResult): boolean =>
  other.bench === partial.bench && other.device === partial.device && !isPartial(other);
const rank = ({ backend }: BenchResult): number => (backend === 'cuda' ? 0 : 1);
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function jsonFiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter(name => name.endsWith('.json'))
      .toSorted()
      .map(name => join(directory, name));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw badField('--results', directory, `a directory that can be read (${code})`);
  }
}

export function parseResult(path: string, text: string): BenchResult {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badField(path, (error as Error).message, 'JSON');
  }
  const parsed = resultSchema.safeParse(value);
  if (parsed.success) return parsed.data as BenchResult;
  const [issue] = parsed.error.issues;
  const field = issue?.path.map(String).join('.') ?? '';
  throw badField(
    `${path}: ${field}`,
    issue?.message ?? '',
    'a result as bench/results/README.md has it',
  );
}
