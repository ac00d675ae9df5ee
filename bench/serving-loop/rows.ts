/** What a serving run says, as rows: `<source>: <part of a pass>`. */
import type { Row } from '../report/results.js';
import { row } from '../report/statistics.js';
import type { PassRecord, ServingRun } from './engine.js';

const parts = ['admission', 'step', 'tables', 'plan', 'append', 'prefill', 'decode'] as const;
/** What an engine does for memory alone, whatever it computes. */
const memoryParts = ['admission', 'step', 'tables'] as const;

const meaning: Readonly<Record<(typeof parts)[number], string>> = {
  admission: 'admission and ending',
  step: 'memory of the next token',
  tables: 'telling the device where requests lie',
  plan: 'plans of the kernels',
  append: 'append, on the device',
  prefill: 'prefill, on the device',
  decode: 'decode, on the device',
};

export const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;

export const memoryOf = (pass: PassRecord): number =>
  memoryParts.reduce((total, part) => total + pass[part], 0);

/** Of a pass over all of the model's layers, when `layersRun` of them were computed. */
export function wholeOf(pass: PassRecord, layers: number, layersRun: number): number {
  const device = pass.append + pass.prefill + pass.decode;
  return memoryOf(pass) + pass.plan + (device * layers) / layersRun;
}

export function servingRows(
  name: string,
  source: string,
  run: ServingRun,
  layers: { readonly model: number; readonly run: number },
): Row[] {
  const { passes } = run;
  if (passes.length === 0) throw new Error(`serving: ${source} has run no pass to speak of`);
  const each = (what: string, values: readonly number[]): Row[] => [
    row(name, `${source}: ${what}`, 'us', values),
    row(name, `${source}: ${what}, mean of a pass`, 'us', [mean(values)]),
  ];
  const whole = passes.map(pass => wholeOf(pass, layers.model, layers.run));
  const memory = passes.map(memoryOf);
  return [
    ...parts.flatMap(part =>
      each(
        meaning[part],
        passes.map(pass => pass[part]),
      ),
    ),
    ...each('memory management in all', memory),
    ...each(`pass over ${layers.model} layers`, whole),
    row(name, `${source}: memory management of the pass`, 'share', [mean(memory) / mean(whole)]),
    row(
      name,
      `${source}: requests in decode`,
      'requests',
      passes.map(pass => pass.decodeRequests),
    ),
    row(
      name,
      `${source}: new tokens of a pass`,
      'tokens',
      passes.map(pass => pass.newTokens),
    ),
    row(name, `${source}: preemptions`, 'count', [run.preempted]),
  ];
}
