/** What a replay says, as rows: `<manager>: <what>`. */
import type { Row, Unit } from '../report/results.js';
import { row } from '../report/statistics.js';
import { type MemoryShape, tokenBytesOf } from './manager.js';
import type { Replay } from './replay.js';

const GIB = 1024 ** 3;

export function caseName(trace: string, requests: number, shape: MemoryShape): string {
  const pool = `${shape.poolBytes / GIB} GiB`;
  return `${trace}: ${requests} requests in ${pool}, ${tokenBytesOf(shape) / 1024} KiB a token`;
}

/** One replay each: the same requests give the same decisions, so there is no spread to show. */
export function replayRows(name: string, manager: string, replay: Replay): Row[] {
  const one = (what: string, unit: Unit, value: number): Row =>
    row(name, `${manager}: ${what}`, unit, [value]);
  return [
    one('live at once, most', 'requests', replay.liveRequestsMax),
    one('live at once, mean while others wait', 'requests', replay.liveRequestsMean),
    one('peak mapped for requests', 'GiB', replay.peakUsedBytes / GIB),
    one('live tokens at that peak', 'GiB', replay.liveAtPeakBytes / GIB),
    one('wasted at that peak', 'GiB', (replay.peakUsedBytes - replay.liveAtPeakBytes) / GIB),
    one('wasted, mean while others wait', 'share', replay.wastedShareMean),
    one('held, warm memory behind no request included', 'GiB', replay.peakHeldBytes / GIB),
    one('passes until all had ended', 'steps', replay.steps),
    one('preemptions', 'count', replay.preempted),
    one('never fitted', 'requests', replay.failed),
  ];
}
