/**
 * Who runs: the decisions of a continuous-batching engine, with no memory and no clock in them.
 *
 * Requests wait in the order in which they arrived; those that run form a batch. When memory runs
 * short the youngest is preempted: it gives its memory up, goes back to its place in the queue, and
 * is computed again from its first token later. That cannot go on for ever: the oldest of the batch
 * is never the one preempted while another runs, so it ends, and after it the next; and after a
 * preemption nobody is admitted before somebody has ended, so that the memory given up is not
 * taken again by the one that gave it. A request that does not fit when it runs alone fails.
 */
import type { TraceRequest } from '../trace/types.js';

export interface Waiting {
  /** Its place in the trace; the younger of two has the higher. */
  readonly index: number;
  readonly arrivalMs: number;
  /** To prefill: the prompt, and after a preemption also what had been generated. */
  readonly prefillTokens: number;
  /** Still to generate. */
  readonly answerTokens: number;
}

export interface Running extends Waiting {
  readonly slot: number;
  /** Tokens of the prefill that have been written. */
  prefilled: number;
  generated: number;
}

/** Tokens whose memory the request has now. */
export const lengthOf = (request: Running): number => request.prefillTokens + request.generated;

export const isPrefilling = (request: Running): boolean =>
  request.prefilled < request.prefillTokens;

/** Tokens that have been written. */
export const writtenOf = (request: Running): number => request.prefilled + request.generated;

export class Scheduler {
  readonly #waiting: Waiting[];
  readonly #running: Running[] = [];
  readonly #batchMax: number;
  #held = false;
  readonly total: number;
  completed = 0;
  failed = 0;
  preempted = 0;

  constructor(requests: readonly TraceRequest[], batchMax: number) {
    this.#batchMax = batchMax;
    this.total = requests.length;
    this.#waiting = requests.map((request, index) => ({
      index,
      arrivalMs: request.arrivalMs,
      prefillTokens: request.promptTokens,
      answerTokens: request.answerTokens,
    }));
  }

  get running(): readonly Running[] {
    return this.#running;
  }

  get done(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0;
  }

  /** When the next request arrives or has arrived; Infinity: all have been admitted. */
  get nextArrivalMs(): number {
    return this.#waiting[0]?.arrivalMs ?? Number.POSITIVE_INFINITY;
  }

  /** The request to be admitted next; null: none may be now. */
  next(nowMs: number): Waiting | null {
    const first = this.#waiting[0];
    if (first === undefined || first.arrivalMs > nowMs) return null;
    if (this.#running.length >= this.#batchMax || this.#held) return null;
    return first;
  }

  /** The request that `next` gave has a slot. */
  admit(slot: number): Running {
    const first = this.#waiting.shift();
    if (first === undefined) throw new Error('admit: nobody waits');
    const running = { ...first, slot, prefilled: 0, generated: 0 };
    this.#running.push(running);
    return running;
  }

  /**
   * The request that `next` gave found no memory: it waits until somebody ends, or fails if it
   * would be alone.
   */
  refuse(): 'waits' | 'failed' {
    if (this.#running.length > 0) {
      this.#held = true;
      return 'waits';
    }
    this.#waiting.shift();
    this.failed += 1;
    return 'failed';
  }

  /** Memory is short: the youngest leaves the batch; `failed` if it was alone. */
  preempt(): { readonly request: Running; readonly failed: boolean } {
    const request = this.#running.reduce((a, b) => (b.index > a.index ? b : a));
    const failed = this.#running.length === 1;
    this.#remove(request);
    if (failed) {
      this.failed += 1;
      this.#held = false;
    } else {
      this.preempted += 1;
      this.#held = true;
      this.#requeue(request);
    }
    return { request, failed };
  }

  finish(request: Running): void {
    this.#remove(request);
    this.completed += 1;
    this.#held = false;
  }

  #remove(request: Running): void {
    const at = this.#running.indexOf(request);
    if (at < 0) throw new Error(`request ${request.index} does not run`);
    this.#running.splice(at, 1);
  }

  #requeue(request: Running): void {
    const { index, arrivalMs, answerTokens, generated } = request;
    const again = {
      index,
      arrivalMs,
      prefillTokens: lengthOf(request),
      answerTokens: answerTokens - generated,
    };
    const at = this.#waiting.findIndex(other => other.index > index);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, again);
  }
}
