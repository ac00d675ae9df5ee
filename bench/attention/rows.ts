/** A case's samples as rows: `<variant>: <what>`. */
import type { Row } from '../report/results.js';
import { quantile, row } from '../report/statistics.js';
import type { AttentionCase } from './cases.js';
import { type Sampled, speedOf } from './measure.js';

const median = ({ samples }: Sampled): number => quantile(samples, 0.5);

/** `readGbps`: what a plain read of the same device reached in this run. */
export function caseRows(
  attention: AttentionCase,
  sampled: readonly Sampled[],
  readGbps: number,
): Row[] {
  const best = Math.min(...sampled.filter(({ paged }) => paged).map(median));
  const { name: of, kind } = attention;
  return sampled.flatMap(variant => {
    const speeds = variant.samples.map(us => speedOf(attention, us));
    const rows = [
      row(of, `${variant.name}: time`, 'us', variant.samples),
      row(of, `${variant.name}: speed`, kind === 'decode' ? 'GB/s' : 'TFLOP/s', speeds),
      row(of, `${variant.name}: time over that of the best paged one`, 'ratio', [
        median(variant) / best,
      ]),
    ];
    if (kind === 'prefill') return rows;
    const shares = speeds.map(gbps => gbps / readGbps);
    return [...rows, row(of, `${variant.name}: of the read bandwidth`, 'share', shares)];
  });
}
