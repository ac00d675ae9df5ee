/** The allocator section: kvspan's calls beside the raw calls of the device. */
import type { Chart } from '../charts.js';
import type { Finding } from '../compare.js';
import { EQUAL_WITHIN } from '../compare.js';
import { nameOf } from '../figures.js';
import { flat } from '../pivot.js';
import type { BenchResult, Row } from '../results.js';
import type { Section } from '../section.js';
import { figure } from '../table.js';

/** Those that compare with raw calls; `linear / geometric` compares two ways of kvspan. */
const ratios = (result: BenchResult): Row[] =>
  result.rows.filter(row => row.unit === 'ratio' && /(^|: )ratio( to raw, .*)?$/.test(row.variant));

function labelOf(row: Row): string {
  const { way } = nameOf(row.variant);
  if (way === 'ratio') return row.case;
  return `${row.case}, ${way.replace(/^ratio to raw, /, '')}`;
}

function findings(result: BenchResult): Finding[] {
  return ratios(result).map(row => {
    const ratio = row.median;
    const equal = Math.abs(ratio - 1) <= EQUAL_WITHIN;
    const verdict = equal ? 'equal' : ratio < 1 ? 'faster' : 'slower';
    const said = `${figure(ratio)} times what the raw calls of the device take`;
    return { verdict, text: `${labelOf(row)}: ${said}: **${verdict}**.` };
  });
}

function chart(result: BenchResult): Chart {
  const rows = ratios(result);
  return {
    name: 'ratio',
    title: 'Time over that of the raw calls of the device: 1 is the floor',
    kind: 'bars',
    categories: rows.map(labelOf),
    series: [{ name: 'kvspan / raw calls', values: rows.map(row => row.median) }],
    yTitle: 'ratio',
  };
}

export const allocator: Section = {
  bench: 'allocator',
  subject: 'kvspan',
  title: 'Allocator',
  about:
    'What kvspan adds to the calls of the device, which cost the same whoever makes them: cold grants, ' +
    'growth from extents that are held, `step` by what it had to do, set-up, and the daemon itself.',
  command: './kvspan bench allocator --backend cuda',
  charts: result => (ratios(result).length === 0 ? [] : [chart(result)]),
  findings,
  table: result => flat(result.rows),
};
