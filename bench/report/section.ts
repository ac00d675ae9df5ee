/** A section of the report: what of a bench's result is drawn, said and listed. */
import type { Chart } from './charts.js';
import type { Finding } from './compare.js';
import type { BenchResult } from './results.js';

export interface Section {
  /** The bench whose results it tells of. */
  readonly bench: string;
  readonly title: string;
  /** What was measured, and how; whatever the figures are. */
  readonly about: string;
  /** Whose comparisons the findings are. */
  readonly subject: string;
  /** How to have it measured. */
  readonly command: string;
  readonly charts: (result: BenchResult) => Chart[];
  readonly findings: (result: BenchResult) => Finding[];
  readonly table: (result: BenchResult) => string;
}
