/** Tables of the written report. */
import { nameOf, say } from './figures.js';
import type { BenchResult, Row } from './results.js';

/** A line for each case and way, a column for each `what` that was measured. */
export function pivot(result: BenchResult, rows: readonly Row[] = result.rows): string {
  const whats = [...new Set(rows.map(row => nameOf(row.variant).what))];
  const lines = new Map<string, { name: string; way: string; cells: Map<string, Row> }>();
  for (const row of rows) {
    const { way, what } = nameOf(row.variant);
    const key = JSON.stringify([row.case, way]);
    const line = lines.get(key) ?? { name: row.case, way, cells: new Map<string, Row>() };
    line.cells.set(what, row);
    lines.set(key, line);
  }
  let previous = '';
  const body = [...lines.values()].map(({ name, way, cells }) => {
    const shown = name === previous ? '' : name;
    previous = name;
    const figures = whats.map(what => cellOf(cells.get(what)));
    return [shown, way, ...figures];
  });
  const heads = whats.map(what => (what === '' ? 'median (min to max, n)' : what));
  return table(['', '', ...heads], body);
}

/** Every row as it is. */
export function flat(rows: readonly Row[]): string {
  let previous = '';
  const body = rows.map(row => {
    const shown = row.case === previous ? '' : row.case;
    previous = row.case;
    return [shown, row.variant, cellOf(row)];
  });
  return table(['', '', 'median (min to max, n)'], body);
}

function cellOf(row: Row | undefined): string {
  if (row === undefined) return '';
  const median = say(row.median, row.unit);
  if (row.n === 1) return median;
  const [least, most] = [say(row.min, row.unit), say(row.max, row.unit)];
  return `${median} (${least} to ${most}, ${row.n})`;
}

const line = (cells: readonly string[]): string => `| ${cells.map(escape).join(' | ')} |`;

function table(heads: readonly string[], body: readonly (readonly string[])[]): string {
  const rule = `|${heads.map((_, index) => (index < 2 ? '---' : '--:')).join('|')}|`;
  return [line(heads), rule, ...body.map(line)].join('\n');
}

const escape = (cell: string): string => cell.replaceAll('|', '\\|');
