import { describe, expect, it } from 'vitest';
import { isPrefilling, lengthOf, type Running, Scheduler } from '../../bench/demo/scheduler.js';
import { Random } from '../../bench/trace/random.js';
import type { TraceRequest } from '../../bench/trace/types.js';

const request = (promptTokens: number, answerTokens: number, arrivalMs = 0): TraceRequest => ({
  arrivalMs,
  promptTokens,
  answerTokens,
});

function admitAll(scheduler: Scheduler, nowMs = 0): Running[] {
  const admitted: Running[] = [];
  while (scheduler.next(nowMs) !== null) admitted.push(scheduler.admit(scheduler.running.length));
  return admitted;
}

describe('admission', () => {
  it('is by arrival, up to the batch, and not before the arrival', () => {
    const scheduler = new Scheduler([request(1, 1), request(2, 1), request(3, 1, 50)], 2);
    expect(admitAll(scheduler).map(running => running.index)).toEqual([0, 1]);
    scheduler.finish(scheduler.running[0] as Running);
    expect(scheduler.next(49)).toBeNull();
    expect(scheduler.nextArrivalMs).toBe(50);
    expect(scheduler.next(50)?.index).toBe(2);
  });

  it('stops after a refusal until somebody ends', () => {
    const scheduler = new Scheduler([request(1, 1), request(2, 1)], 8);
    scheduler.admit(0);
    expect(scheduler.refuse()).toBe('waits');
    expect(scheduler.next(0)).toBeNull();
    scheduler.finish(scheduler.running[0] as Running);
    expect(scheduler.next(0)?.index).toBe(1);
  });

  it('fails a request that finds no memory though nobody else runs', () => {
    const scheduler = new Scheduler([request(1000, 1), request(2, 1)], 8);
    expect(scheduler.refuse()).toBe('failed');
    expect(scheduler.failed).toBe(1);
    expect(scheduler.next(0)?.index).toBe(1);
  });
});

describe('preemption', () => {
  it('takes the youngest, which comes back first in line with all it had to compute again', () => {
    const scheduler = new Scheduler([request(10, 5), request(20, 5), request(30, 5)], 2);
    const [, second] = admitAll(scheduler) as [Running, Running];
    second.prefilled = 20;
    second.generated = 3;
    expect(scheduler.preempt()).toEqual({ request: second, failed: false });
    expect(scheduler.next(0)).toBeNull();
    scheduler.finish(scheduler.running[0] as Running);
    expect(scheduler.next(0)).toMatchObject({ index: 1, prefillTokens: 23, answerTokens: 2 });
  });

  it('fails the one that runs alone', () => {
    const scheduler = new Scheduler([request(10, 5)], 2);
    admitAll(scheduler);
    expect(scheduler.preempt().failed).toBe(true);
    expect(scheduler).toMatchObject({ failed: 1, preempted: 0, done: true });
  });

  it('is of the youngest by arrival, not of the one admitted last', () => {
    const scheduler = new Scheduler([request(1, 9), request(1, 9), request(1, 9)], 3);
    const [first, second, third] = admitAll(scheduler) as [Running, Running, Running];
    expect(scheduler.preempt().request).toBe(third);
    expect(scheduler.preempt().request).toBe(second);
    scheduler.finish(first);
    expect(admitAll(scheduler).map(running => running.index)).toEqual([1, 2]);
    expect(scheduler.preempt().request.index).toBe(2);
  });
});

/** Tokens that the next pass adds. */
const wants = (running: Running) =>
  !isPrefilling(running) && running.generated < running.answerTokens ? 1 : 0;

/** The engine's loop over a memory that is a number of tokens. */
function simulate(requests: TraceRequest[], batch: number, capacityTokens: number) {
  const scheduler = new Scheduler(requests, batch);
  const used = () => scheduler.running.reduce((sum, running) => sum + lengthOf(running), 0);
  const passesMax = requests.reduce(
    (sum, { promptTokens, answerTokens }) => sum + promptTokens + answerTokens + 2,
    0,
  );
  let passes = 0;
  for (; !scheduler.done && passes <= passesMax; passes++) {
    for (let next = scheduler.next(0); next !== null; next = scheduler.next(0)) {
      if (used() + next.prefillTokens <= capacityTokens) scheduler.admit(0);
      else if (scheduler.refuse() === 'waits') break;
    }
    while (scheduler.running.length > 0) {
      const growth = scheduler.running.reduce((sum, running) => sum + wants(running), 0);
      if (used() + growth <= capacityTokens) break;
      scheduler.preempt();
    }
    for (const running of scheduler.running) {
      running.generated += wants(running);
      running.prefilled = running.prefillTokens;
    }
    const ended = scheduler.running.filter(one => one.generated >= one.answerTokens);
    for (const running of ended) scheduler.finish(running);
  }
  return { scheduler, passes, passesMax };
}

describe('a memory that is too small for the batch', () => {
  it('ends every request that fits alone and fails the others, for any trace and size', () => {
    const random = new Random(11);
    let preempted = 0;
    for (let round = 0; round < 300; round++) {
      const count = random.integer(1, 20);
      const requests = Array.from({ length: count }, () =>
        request(random.integer(1, 40), random.integer(0, 40)),
      );
      const capacity = random.integer(1, 100);
      const { scheduler, passes, passesMax } = simulate(requests, random.integer(1, 8), capacity);
      const fit = requests.filter(
        ({ promptTokens, answerTokens }) => promptTokens + answerTokens <= capacity,
      );
      expect(passes).toBeLessThanOrEqual(passesMax);
      expect(scheduler).toMatchObject({
        done: true,
        completed: fit.length,
        failed: count - fit.length,
      });
      preempted += scheduler.preempted;
    }
    expect(preempted).toBeGreaterThan(100);
  });
});
