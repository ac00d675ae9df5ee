/** Names of rows that the report looks for. */
export const LABEL_MOVE = 'move of ';
export const stepCase = 'step while memory moves';
export const grantCase = 'grants while three processes contend';

const GIB = 2 ** 30;
const MIB = 2 ** 20;

export const sizeName = (bytes: number): string =>
  bytes % GIB === 0 ? `${bytes / GIB} GiB` : `${Math.round(bytes / MIB)} MiB`;

/** From so many idle spans to so many requests that ask at once. */
export const moveCase = (bytes: number, spans: number, requests: number): string =>
  `${LABEL_MOVE}${sizeName(bytes)}, ${counted(spans, 'span')} to ${counted(requests, 'request')}`;

const counted = (count: number, word: string): string =>
  count === 1 ? `one ${word}` : `${count} ${word}s`;

/** Of a scenario; its memory over time stands in rows of a case of its own. */
export const overTime = (scenario: string): string => `${scenario}: memory over time`;
export const isOverTime = (name: string): boolean => name.endsWith(': memory over time');
/** In seconds; the variant is `<way>: <what> at <seconds> s`. */
export const atSeconds = (seconds: number): string => ` at ${seconds.toFixed(2)} s`;
export const secondsOf = (what: string): number | null => {
  const found = / at ([\d.]+) s$/.exec(what);
  return found === null ? null : Number(found[1]);
};
export const LIVE = 'live';
export const HELD = 'held';

/** What a scenario says of each way. */
export const what = {
  goodput: 'requests in time, a second and process',
  completed: 'requests completed',
  ttft50: 'time to first token, p50',
  ttft99: 'time to first token, p99',
  peak50: 'time to first token at the peak, p50',
  peak99: 'time to first token at the peak, p99',
  tokens: 'tokens generated',
  live: 'memory under live tokens, mean',
  held: 'memory held, mean',
  step99: 'step, p99',
  pass50: 'pass without its rest, p50',
  preempted: 'preemptions',
  reclaims: 'reclaims',
  missed: 'grants inside a guarantee past their deadline',
  mismatches: 'tokens that were not what was written',
  kernels: 'engines with the kernels of a GPU',
} as const;

export const grantWhat = {
  p50: 'p50',
  p99: 'p99',
  max: 'longest',
  met: 'met',
  missed: 'past their deadline',
} as const;
export const INSIDE = 'inside the guarantee';
export const BEYOND = 'beyond it';
