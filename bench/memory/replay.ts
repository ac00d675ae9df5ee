/**
 * One engine's day over one manager: requests are admitted in the order of the trace as long as the
 * manager can hold them, whatever their arrival times (so memory is always what limits the batch);
 * every pass gives each of them one token; they end. If one cannot grow the youngest is preempted
 * and computed again later, by the demo's own scheduler.
 */
import { lengthOf, type Running, Scheduler } from '../demo/scheduler.js';
import type { TraceRequest } from '../trace/types.js';
import type { MemoryManager, MemoryStats } from './manager.js';

export interface Replay {
  /**
   * Requests that were live at once, at most; and on average while others still waited (where
   * nobody ever waits, all the time: here as below).
   */
  readonly liveRequestsMax: number;
  readonly liveRequestsMean: number;
  /** Passes until the last request had ended. */
  readonly steps: number;
  readonly completed: number;
  /** They did not fit even alone. */
  readonly failed: number;
  readonly preempted: number;
  /** The most that was used at any moment, and what of it was live then. */
  readonly peakUsedBytes: number;
  readonly liveAtPeakBytes: number;
  /** The most that was taken from the pool, used or idle. */
  readonly peakHeldBytes: number;
  /** Used and not live, of used; on average while others still waited. */
  readonly wastedShareMean: number;
}

/** Looking costs a real manager some microseconds. */
const SAMPLE_EVERY_STEPS = 8;

export async function replay(
  requests: readonly TraceRequest[],
  manager: MemoryManager,
  batchMax: number,
  tick: (share: number) => void = () => {},
): Promise<Replay> {
  const scheduler = new Scheduler(requests, batchMax);
  const record = new Record();
  let steps = 0;
  while (!scheduler.done) {
    await admit(scheduler, manager);
    await grow(scheduler, manager);
    const waiting = scheduler.nextArrivalMs !== Number.POSITIVE_INFINITY;
    record.batch(scheduler.running.length, waiting);
    if (steps % SAMPLE_EVERY_STEPS === 0) record.memory(manager.stats(), waiting);
    end(scheduler, manager);
    steps += 1;
    tick((scheduler.completed + scheduler.failed) / requests.length);
  }
  const { completed, failed, preempted } = scheduler;
  return { steps, completed, failed, preempted, ...record.summary() };
}

async function admit(scheduler: Scheduler, manager: MemoryManager): Promise<void> {
  const next = () => scheduler.next(Number.POSITIVE_INFINITY);
  for (let request = next(); request !== null; request = next()) {
    const handle = await manager.admit(request.prefillTokens);
    if (handle !== null) {
      const running = scheduler.admit(handle);
      running.prefilled = running.prefillTokens;
    } else if (scheduler.refuse() === 'waits') {
      return;
    }
  }
}

const growing = (request: Running): boolean => request.generated < request.answerTokens;

/** One more token for everybody, or for everybody who is left after preemptions. */
async function grow(scheduler: Scheduler, manager: MemoryManager): Promise<void> {
  while (scheduler.running.length > 0) {
    const lengths = new Map(
      scheduler.running.map(request => [
        request.slot,
        lengthOf(request) + (growing(request) ? 1 : 0),
      ]),
    );
    const short = await manager.grow(lengths);
    if (short.length === 0) break;
    manager.free(scheduler.preempt().request.slot);
  }
  for (const request of scheduler.running) if (growing(request)) request.generated += 1;
}

function end(scheduler: Scheduler, manager: MemoryManager): void {
  const ended = scheduler.running.filter(request => request.generated >= request.answerTokens);
  for (const request of ended) {
    manager.free(request.slot);
    scheduler.finish(request);
  }
}

/** A mean while others wait: after that the batch runs empty, which says nothing of a manager. */
class BusyMean {
  #busy = { sum: 0, count: 0 };
  #all = { sum: 0, count: 0 };

  add(value: number, waiting: boolean): void {
    for (const mean of waiting ? [this.#busy, this.#all] : [this.#all]) {
      mean.sum += value;
      mean.count += 1;
    }
  }

  get value(): number {
    const { sum, count } = this.#busy.count > 0 ? this.#busy : this.#all;
    return count === 0 ? 0 : sum / count;
  }
}

class Record {
  #liveMax = 0;
  readonly #live = new BusyMean();
  readonly #wasted = new BusyMean();
  #peakUsed = 0;
  #liveAtPeak = 0;
  #peakHeld = 0;

  batch(live: number, waiting: boolean): void {
    this.#liveMax = Math.max(this.#liveMax, live);
    this.#live.add(live, waiting);
  }

  memory({ liveBytes, usedBytes, idleBytes }: MemoryStats, waiting: boolean): void {
    this.#peakHeld = Math.max(this.#peakHeld, usedBytes + idleBytes);
    if (usedBytes > this.#peakUsed) {
      this.#peakUsed = usedBytes;
      this.#liveAtPeak = liveBytes;
    }
    if (usedBytes > 0) this.#wasted.add(1 - liveBytes / usedBytes, waiting);
  }

  summary() {
    return {
      liveRequestsMax: this.#liveMax,
      liveRequestsMean: this.#live.value,
      peakUsedBytes: this.#peakUsed,
      liveAtPeakBytes: this.#liveAtPeak,
      peakHeldBytes: this.#peakHeld,
      wastedShareMean: this.#wasted.value,
    };
  }
}
