/** What a scenario says of one way, as rows. */
import type { Row } from '../report/results.js';
import { quantile, row } from '../report/statistics.js';
import { cutMsOf, type Scenario } from './load.js';
import { atSeconds, HELD, LIVE, overTime, what } from './names.js';
import type { MemorySample, ServeAnswer, ServedRequest } from './protocol.js';

/** A first token within this is in time. */
export const IN_TIME_MS = 1000;
/** Points of a plot over time. */
const MOMENTS = 40;

export function scenarioRows(
  scenario: Scenario,
  way: string,
  answers: readonly ServeAnswer[],
  poolBytes: number,
): Row[] {
  const { name, seconds } = scenario;
  const say = (kind: string, unit: Row['unit'], values: readonly number[]): Row[] =>
    values.length === 0 ? [] : [row(name, `${way}: ${kind}`, unit, values)];
  const cutMs = cutMsOf(scenario);
  const requests = answers.flatMap(answer => answer.requests);
  const ttft = requests.map(request => firstTokenAfter(request, cutMs));
  const peak = answers.flatMap((answer, index) =>
    atPeak(answer, scenario.load.peaks[index], cutMs),
  );
  const inTime = answers.map(
    answer => answer.requests.filter(one => isInTime(one)).length / seconds,
  );
  const sum = (of: (answer: ServeAnswer) => number): number[] => [
    answers.reduce((total, answer) => total + of(answer), 0),
  ];
  const steps = answers.flatMap(({ steps: us }) => [...us]);
  const passes = answers.flatMap(answer => [...answer.passes]);
  return [
    ...say(what.goodput, 'requests', [mean(inTime)]),
    ...say(what.completed, 'share', [share(requests, ({ endMs }) => endMs !== null)]),
    ...quantiles([what.ttft50, what.ttft99], ttft, (kind, value) => say(kind, 'ms', [value])),
    ...quantiles([what.peak50, what.peak99], peak, (kind, value) => say(kind, 'ms', [value])),
    ...say(
      what.tokens,
      'tokens',
      sum(answer => answer.generatedTokens),
    ),
    ...say(what.live, 'share', [meanShare(answers, LIVE, seconds, poolBytes)]),
    ...say(what.held, 'share', [meanShare(answers, HELD, seconds, poolBytes)]),
    ...say(what.step99, 'us', steps.length === 0 ? [] : [quantile(steps, 0.99)]),
    ...say(what.pass50, 'ms', passes.length === 0 ? [] : [quantile(passes, 0.5)]),
    ...say(
      what.preempted,
      'count',
      sum(answer => answer.preempted),
    ),
    ...say(
      what.reclaims,
      'count',
      sum(answer => answer.reclaims),
    ),
    ...say(
      what.missed,
      'count',
      sum(answer => answer.missed),
    ),
    ...say(
      what.mismatches,
      'count',
      sum(answer => answer.mismatches),
    ),
    ...say(
      what.kernels,
      'count',
      sum(answer => (answer.work === 'kernels' ? 1 : 0)),
    ),
  ];
}

/** Milliseconds; of who had none by the end at least so much. */
const firstTokenAfter = ({ arrivalMs, firstTokenMs }: ServedRequest, cutMs: number): number =>
  (firstTokenMs ?? cutMs) - arrivalMs;

const isInTime = ({ arrivalMs, firstTokenMs, endMs }: ServedRequest): boolean =>
  endMs !== null && firstTokenMs !== null && firstTokenMs - arrivalMs <= IN_TIME_MS;

/** Those who came while their own process had its peak. */
function atPeak(
  answer: ServeAnswer,
  [fromMs, toMs]: readonly [number, number] = [0, 0],
  cutMs: number,
): number[] {
  return answer.requests
    .filter(({ arrivalMs }) => arrivalMs >= fromMs && arrivalMs < toMs)
    .map(request => firstTokenAfter(request, cutMs));
}

function quantiles(
  [p50, p99]: readonly [string, string],
  values: readonly number[],
  say: (kind: string, value: number) => Row[],
): Row[] {
  if (values.length === 0) return [];
  return [...say(p50, quantile(values, 0.5)), ...say(p99, quantile(values, 0.99))];
}

const mean = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / Math.max(1, values.length);

const share = <T>(values: readonly T[], holds: (value: T) => boolean): number =>
  values.length === 0 ? 1 : values.filter(holds).length / values.length;

type Kind = typeof LIVE | typeof HELD;

/** Of the pool, all processes together, at moments of the scenario's time. */
export function memoryRows(
  scenario: Scenario,
  way: string,
  answers: readonly ServeAnswer[],
  poolBytes: number,
): Row[] {
  const name = overTime(scenario.name);
  const { seconds } = scenario;
  return [LIVE, HELD].flatMap(kind =>
    momentsOf(seconds).map(at =>
      row(name, `${way}: ${kind}${atSeconds(at)}`, 'share', [
        shareAt(answers, kind as Kind, at, poolBytes),
      ]),
    ),
  );
}

const momentsOf = (seconds: number): number[] =>
  Array.from({ length: MOMENTS }, (_, index) => ((index + 1) * seconds) / MOMENTS);

function meanShare(
  answers: readonly ServeAnswer[],
  kind: Kind,
  seconds: number,
  poolBytes: number,
): number {
  return mean(momentsOf(seconds).map(at => shareAt(answers, kind, at, poolBytes)));
}

function shareAt(
  answers: readonly ServeAnswer[],
  kind: Kind,
  seconds: number,
  poolBytes: number,
): number {
  const bytes = answers.map(({ memory }) => {
    const sample = lastBefore(memory, seconds * 1000);
    if (sample === null) return 0;
    return kind === LIVE ? sample.liveBytes : sample.heldBytes;
  });
  return bytes.reduce((total, one) => total + one, 0) / poolBytes;
}

function lastBefore(memory: readonly MemorySample[], atMs: number): MemorySample | null {
  let found: MemorySample | null = null;
  for (const sample of memory) {
    if (sample.atMs > atMs) break;
    found = sample;
  }
  return found;
}
