/** A benchmark's rows as a table for people. */
import Table from 'cli-table3';
import type { Row } from './results.js';

export function renderRows(rows: readonly Row[]): string {
  const table = new Table({
    head: ['case', 'variant', 'median', 'min', 'max', 'unit', 'n'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'left', 'right'],
    style: { head: [], border: [], compact: true },
  });
  let previous = '';
  for (const row of rows) {
    table.push([
      row.case === previous ? '' : row.case,
      row.variant,
      figure(row.median),
      figure(row.min),
      figure(row.max),
      row.unit,
      row.n,
    ]);
    previous = row.case;
  }
  return table.toString();
}

/** Three significant digits where there are fewer than three before the point. */
export function figure(value: number): string {
  if (value === 0) return '0';
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return value.toPrecision(3);
}
