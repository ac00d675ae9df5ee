/**
 * A continuous-batching engine without a model: admits requests, prefills prompts in chunks,
 * generates one token a pass for each request, and ends them. What a model would compute is
 * replaced by `Pattern`; everything that touches memory is real.
 *
 * One pass: arrivals are admitted (`allocate`), `step` gets the new lengths, the K and V of new
 * tokens are written, attention runs, requests that are done are read back, compared and freed.
 */
import { performance } from 'node:perf_hooks';
import type { Attention } from './attention.js';
import { isMemoryShortage, type EngineCache, type StepAnswer } from './cache.js';
import { MemoryPeak } from './memory.js';
import type { Pattern } from './pattern.js';
import { isPrefilling, lengthOf, type Running, Scheduler, writtenOf } from './scheduler.js';
import { StepRecord } from './step-record.js';
import type { TraceRequest } from '../trace/types.js';

/** Virtual time of one pass. */
export const PASS_MS = 20;
/** Virtual time of one token's prefill. */
export const PREFILL_TOKEN_MS = 0.05;
/** Prefilled in one pass, over all requests. */
export const PREFILL_TOKENS_PER_PASS = 2048;
/** How long a step or an allocation waits for a refill before somebody is preempted. */
export const REFILL_WAIT_MS = 200;
/** The same for a request that runs alone: what it waits for may be held by another process. */
export const ALONE_WAIT_MS = 3000;
/** Bytes of rows in flight between pattern and memory. */
const CHUNK_BYTES = 1 << 20;

export interface EngineOptions {
  readonly requests: readonly TraceRequest[];
  readonly batchMax: number;
  readonly slots: number;
  readonly cache: EngineCache;
  readonly pattern: Pattern;
  readonly attention: Attention;
  readonly onProgress: (ended: number, total: number) => void;
}

export class Engine {
  readonly scheduler: Scheduler;
  readonly steps = new StepRecord();
  readonly memory: MemoryPeak;
  /** Tokens whose K and V were written for the first time. */
  promptTokens = 0;
  generatedTokens = 0;
  /** Written again after a preemption. */
  recomputedTokens = 0;
  /** Tokens read back that were not what was written. */
  mismatches = 0;
  bytesWritten = 0;
  bytesVerified = 0;
  readonly #options: EngineOptions;
  readonly #lengths: Int32Array;
  readonly #chunkTokens: number;
  readonly #rows: Uint8Array;
  readonly #firstPrefill = new Set<number>();
  #nowMs = 0;
  #pass = 0;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.scheduler = new Scheduler(options.requests, options.batchMax);
    this.memory = new MemoryPeak(options.pattern.tokenBytes);
    this.#lengths = new Int32Array(options.slots);
    this.#chunkTokens = Math.max(1, Math.floor(CHUNK_BYTES / options.pattern.tokenBytes));
    this.#rows = new Uint8Array(this.#chunkTokens * options.pattern.tokenBytes);
  }

  async run(): Promise<void> {
    while (!this.scheduler.done) {
      await this.#admit();
      if (this.scheduler.running.length > 0) await this.#runPass();
      else if (this.scheduler.nextArrivalMs > this.#nowMs)
        this.#nowMs = this.scheduler.nextArrivalMs;
    }
  }

  async #admit(): Promise<void> {
    const { cache } = this.#options;
    for (
      let next = this.scheduler.next(this.#nowMs);
      next !== null;
      next = this.scheduler.next(this.#nowMs)
    ) {
      const alone = this.scheduler.running.length === 0;
      try {
        this.scheduler.admit(
          await cache.allocate(next.prefillTokens, {
            waitMs: alone ? ALONE_WAIT_MS : REFILL_WAIT_MS,
          }),
        );
      } catch (error) {
        if (!isMemoryShortage(error)) throw error;
        if (this.scheduler.refuse() === 'waits') return;
        this.#progress();
      }
    }
  }

  async #runPass(): Promise<void> {
    await this.#grow();
    // Growing may have preempted everybody who ran.
    if (this.scheduler.running.length === 0) return;
    const prefilled = this.#write();
    this.memory.sample(this.#options.cache, this.scheduler.running, this.#pass);
    await this.#options.attention.run(this.scheduler.running, this.#pass);
    const ended = this.scheduler.running.filter(
      request => !isPrefilling(request) && request.generated >= request.answerTokens,
    );
    for (const request of ended) this.#finish(request);
    this.#nowMs += PASS_MS + prefilled * PREFILL_TOKEN_MS;
    this.#pass += 1;
  }

  /** Steps until every request has the memory of its next token, or has been preempted. */
  async #grow(): Promise<void> {
    while (this.scheduler.running.length > 0) {
      this.#setLengths();
      const alone = this.scheduler.running.length === 1;
      const answer = await this.#step(alone ? ALONE_WAIT_MS : REFILL_WAIT_MS);
      if (answer.outcome !== 'short') return;
      const { request, failed } = this.scheduler.preempt();
      this.#options.cache.free(request.slot);
      if (failed) this.#progress();
    }
  }

  #setLengths(): void {
    this.#lengths.fill(0);
    for (const request of this.scheduler.running) {
      this.#lengths[request.slot] = lengthOf(request) + (this.#decodes(request) ? 1 : 0);
    }
  }

  #decodes(request: Running): boolean {
    return !isPrefilling(request) && request.generated < request.answerTokens;
  }

  async #step(waitMs: number): Promise<StepAnswer> {
    const began = performance.now();
    // What needs no refill needs no promise either: an engine's inner loop stays synchronous.
    let answer = this.#options.cache.tryStep(this.#lengths);
    if (answer.outcome === 'short') {
      const { driverCalls } = answer;
      answer = await this.#options.cache.step(this.#lengths, { waitMs });
      answer = { outcome: answer.outcome, driverCalls: answer.driverCalls + driverCalls };
    }
    this.steps.add(answer, (performance.now() - began) * 1000);
    return answer;
  }

  /** Writes the new tokens of everybody who runs; the count of prefilled ones. */
  #write(): number {
    let budget = PREFILL_TOKENS_PER_PASS;
    for (const request of this.scheduler.running) {
      if (isPrefilling(request)) {
        const tokens = Math.min(budget, request.prefillTokens - request.prefilled);
        if (tokens > 0) this.#writePrefill(request, tokens);
        budget -= tokens;
      } else if (request.generated < request.answerTokens) {
        this.#writeRows(request, lengthOf(request), 1);
        request.generated += 1;
        this.generatedTokens += 1;
      }
    }
    return PREFILL_TOKENS_PER_PASS - budget;
  }

  #writePrefill(request: Running, tokens: number): void {
    this.#writeRows(request, request.prefilled, tokens);
    request.prefilled += tokens;
    if (isPrefilling(request)) return;
    const first = !this.#firstPrefill.has(request.index);
    this.#firstPrefill.add(request.index);
    if (first) this.promptTokens += request.prefillTokens;
    else this.recomputedTokens += request.prefillTokens;
  }

  #writeRows(request: Running, firstToken: number, tokens: number): void {
    const { cache, pattern } = this.#options;
    for (let done = 0; done < tokens; done += this.#chunkTokens) {
      const count = Math.min(this.#chunkTokens, tokens - done);
      const rows = pattern.fill(request.index, firstToken + done, count, this.#rows);
      cache.writeTokens(request.slot, firstToken + done, rows);
      this.bytesWritten += rows.byteLength;
    }
  }

  #finish(request: Running): void {
    const { cache, pattern } = this.#options;
    const total = writtenOf(request);
    for (let first = 0; first < total; first += this.#chunkTokens) {
      const rows = cache.readTokens(
        request.slot,
        first,
        Math.min(this.#chunkTokens, total - first),
      );
      this.mismatches += pattern.compare(request.index, first, rows, this.#rows);
      this.bytesVerified += rows.byteLength;
    }
    cache.free(request.slot);
    this.scheduler.finish(request);
    this.#progress();
  }

  #progress(): void {
    const { completed, failed } = this.scheduler;
    this.#options.onProgress(completed + failed, this.#options.requests.length);
  }
}
