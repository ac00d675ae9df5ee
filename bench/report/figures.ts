/** Rows by what they say: a variant is `<way>: <what>`, and a way has a row for each what. */
import { figure } from './table.js';
import type { BenchResult, Row, Unit } from './results.js';

export interface Named {
  readonly way: string;
  /** Empty where a row's variant is a way alone. */
  readonly what: string;
}

export function nameOf(variant: string): Named {
  const at = variant.lastIndexOf(': ');
  if (at < 0) return { way: variant, what: '' };
  return { way: variant.slice(0, at), what: variant.slice(at + 2) };
}

/** The distinct cases, in the order of the rows. */
export const casesOf = (result: BenchResult): string[] => [
  ...new Set(result.rows.map(row => row.case)),
];

/** The ways of a case, in the order of the rows. */
export const waysOf = (result: BenchResult, name: string): string[] => [
  ...new Set(result.rows.filter(row => row.case === name).map(row => nameOf(row.variant).way)),
];

export function find(result: BenchResult, name: string, way: string, what = ''): Row | undefined {
  const variant = what === '' ? way : `${way}: ${what}`;
  return result.rows.find(row => row.case === name && row.variant === variant);
}

/** With its unit, as people write it. */
export function say(value: number, unit: Unit): string {
  if (unit === 'us' && value >= 1e6) return `${figure(value / 1e6)} s`;
  if (unit === 'us' && value >= 1e3) return `${figure(value / 1e3)} ms`;
  if (unit === 'share') return `${figure(value * 100)} %`;
  if (unit === 'ratio') return `${figure(value)}x`;
  if (unit === 'count') return figure(value);
  return `${figure(value)} ${unit}`;
}
