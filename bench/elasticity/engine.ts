/**
 * One serving process's engine, in real time: requests come when they come, are admitted beside the
 * passes that serve the others (`allocate` waits on its own), get their memory by `step`, and give it
 * up when the daemon asks for it and nothing idle is left (`reclaim`): the youngest is preempted, and
 * computed again later.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cache, Session } from '../../client/typescript/index.js';
import { isMemoryShortage } from '../demo/cache.js';
import { lengthOf, type Running, type Waiting } from '../demo/scheduler.js';
import { commitPass, type Pass, planPass } from '../serving-loop/pass.js';
import { PAGE_BYTES } from '../allocator/plan.js';
import { EngineRecord } from './engine-record.js';
import { type ServeAnswer, type ServeJob, timeOfDay } from './protocol.js';
import { tokenBytesOfModel } from './sizes.js';
import type { PassWork } from './work.js';

/** A grant within the guarantee has to come by then. */
export const GRANT_WAIT_MS = 1000;
/** For what a running request grows by; then the youngest is preempted. */
const STEP_WAIT_MS = 50;
/** Allocations under way at once. */
const ADMITTING_MAX = 8;
/** Who was refused, or was preempted for others' sake, does not ask again at once. */
const AFTER_REFUSAL_MS = 20;
const AFTER_PREEMPTION_MS = 100;

interface Demand {
  readonly bytes: bigint;
  readonly met: () => void;
}

export class ElasticEngine {
  readonly #session: Session;
  readonly #cache: Cache;
  readonly #work: PassWork;
  readonly #job: ServeJob;
  readonly #tokenBytes: number;
  readonly #record: EngineRecord;
  readonly #coming: Waiting[];
  readonly #waiting: Waiting[] = [];
  readonly #running: Running[] = [];
  readonly #admitting = new Map<number, Promise<void>>();
  #admittingBytes = 0;
  #demands: Demand[] = [];
  /** Between passes: nothing of this engine is under way in the cache. */
  #resting = false;
  #heldUntilMs = 0;
  #beganMs = 0;

  constructor(session: Session, cache: Cache, work: PassWork, job: ServeJob) {
    this.#session = session;
    this.#cache = cache;
    this.#work = work;
    this.#job = job;
    this.#tokenBytes = tokenBytesOfModel(job.engine.model);
    this.#record = new EngineRecord(job.requests.map(({ arrivalMs }) => arrivalMs));
    this.#coming = job.requests.map(({ arrivalMs, promptTokens, answerTokens }, index) => ({
      index,
      arrivalMs,
      prefillTokens: promptTokens,
      answerTokens,
    }));
  }

  /** `atMs`: the time of day at which everybody begins. */
  async run(atMs: number): Promise<ServeAnswer> {
    this.#beganMs = atMs;
    const off = this.#session.on('reclaim', event => this.#reclaimed(event.shortfallBytes));
    await this.#rest(0);
    while (!this.#over()) {
      const until = this.#now() + this.#job.engine.passMs;
      await this.#pass();
      await this.#rest(until);
    }
    off();
    await Promise.all(this.#admitting.values());
    for (const request of this.#running.splice(0)) this.#free(request);
    for (const { met } of this.#demands.splice(0)) met();
    return this.#record.answer(this.#work.name);
  }

  /** Milliseconds since everybody began. */
  #now(): number {
    return timeOfDay() - this.#beganMs;
  }

  #over(): boolean {
    const left = this.#coming.length + this.#waiting.length + this.#running.length;
    return this.#now() >= this.#job.cutMs || left + this.#admitting.size === 0;
  }

  async #pass(): Promise<void> {
    const begin = this.#now();
    this.#meetDemands();
    this.#admit();
    await this.#grow();
    this.#meetDemands();
    const pass = planPass(this.#running, this.#job.engine.prefillBudget);
    if (pass.requests.length > 0) {
      this.#work.run(pass);
      commitPass(pass);
      this.#firstTokens(pass);
      this.#record.pass(this.#now() - begin, pass.decodeCount);
    }
    this.#end();
    this.#record.memory(begin, this.#cache, this.#session);
  }

  /** Until the next pass is due; what the daemon asks for meanwhile is given at once. */
  async #rest(untilMs: number): Promise<void> {
    this.#resting = true;
    // At least one turn of the event loop: grants and reclaims come by it.
    do await sleep(Math.max(0, untilMs - this.#now()));
    while (this.#now() < untilMs);
    this.#resting = false;
  }

  #admit(): void {
    const now = this.#now();
    for (let next = this.#coming[0]; next !== undefined && next.arrivalMs <= now; ) {
      this.#waiting.push(next);
      this.#coming.shift();
      next = this.#coming[0];
    }
    if (now < this.#heldUntilMs) return;
    while (this.#waiting.length > 0 && this.#admitting.size < ADMITTING_MAX) {
      if (this.#running.length + this.#admitting.size >= this.#job.engine.batchMax) return;
      const request = this.#waiting.shift() as Waiting;
      const admission = this.#allocate(request).finally(() =>
        this.#admitting.delete(request.index),
      );
      this.#admitting.set(request.index, admission);
    }
  }

  async #allocate(request: Waiting): Promise<void> {
    const bytes = Math.ceil((request.prefillTokens * this.#tokenBytes) / PAGE_BYTES) * PAGE_BYTES;
    const held = Number(this.#session.stats().heldBytes) + this.#admittingBytes;
    const inside = held + bytes <= this.#job.guaranteedBytes;
    this.#admittingBytes += bytes;
    try {
      const slot = await this.#cache.allocate(request.prefillTokens, { waitMs: GRANT_WAIT_MS });
      this.#running.push({ ...request, slot, prefilled: 0, generated: 0 });
    } catch (error) {
      if (!isMemoryShortage(error)) throw error;
      if (inside) this.#record.missed += 1;
      this.#requeue(request);
      this.#heldUntilMs = Math.max(this.#heldUntilMs, this.#now() + AFTER_REFUSAL_MS);
    } finally {
      this.#admittingBytes -= bytes;
    }
  }

  /** Memory of everybody's next token, or of everybody's who is left after preemptions. */
  async #grow(): Promise<void> {
    while (this.#running.length > 0) {
      const lengths = new Map(this.#running.map(request => [request.slot, nextLength(request)]));
      const begin = performance.now();
      const { outcome } = this.#cache.tryStep(lengths);
      this.#record.step((performance.now() - begin) * 1000);
      if (outcome !== 'short') return;
      const { shortSlots } = await this.#cache.step(lengths, { waitMs: STEP_WAIT_MS });
      if (shortSlots.length === 0) return;
      this.#preempt();
    }
  }

  #reclaimed(shortfallBytes: bigint): void | Promise<void> {
    this.#record.reclaims += 1;
    if (shortfallBytes === 0n) return;
    if (this.#resting) return this.#preemptFor(shortfallBytes);
    return new Promise(met => this.#demands.push({ bytes: shortfallBytes, met }));
  }

  #meetDemands(): void {
    for (const { bytes, met } of this.#demands.splice(0)) {
      this.#preemptFor(bytes);
      met();
    }
  }

  #preemptFor(bytes: bigint): void {
    let freed = 0;
    while (freed < Number(bytes) && this.#running.length > 0) freed += this.#preempt();
    this.#heldUntilMs = this.#now() + AFTER_PREEMPTION_MS;
  }

  /** The youngest; the bytes that its slot had. */
  #preempt(): number {
    const request = this.#running.reduce((a, b) => (b.index > a.index ? b : a));
    const bytes = this.#cache.mappedTokens(request.slot) * this.#tokenBytes;
    this.#running.splice(this.#running.indexOf(request), 1);
    this.#free(request);
    this.#record.preempted += 1;
    this.#requeue({
      ...request,
      prefillTokens: lengthOf(request),
      answerTokens: request.answerTokens - request.generated,
    });
    return bytes;
  }

  /** In the order in which they came. */
  #requeue({ index, arrivalMs, prefillTokens, answerTokens }: Waiting): void {
    const at = this.#waiting.findIndex(other => other.index > index);
    const again = { index, arrivalMs, prefillTokens, answerTokens };
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, again);
  }

  /** The pass that ends a prompt makes the first token of its answer. */
  #firstTokens({ requests, decodeCount }: Pass): void {
    const now = this.#now();
    for (const request of requests.slice(decodeCount))
      if (request.prefilled >= request.prefillTokens) this.#record.firstToken(request.index, now);
  }

  #end(): void {
    const ended = this.#running.filter(
      request =>
        request.prefilled >= request.prefillTokens && request.generated >= request.answerTokens,
    );
    for (const request of ended) {
      this.#running.splice(this.#running.indexOf(request), 1);
      this.#record.mismatches += this.#work.check(request);
      this.#free(request);
      this.#record.ended(request.index, this.#now());
    }
  }

  #free(request: Running): void {
    const { stream } = this.#work;
    this.#cache.free(request.slot, stream === null ? {} : { stream });
  }
}

/** A prompt has its memory from the beginning. */
function nextLength(request: Running): number {
  const decodes = request.prefilled >= request.prefillTokens;
  return lengthOf(request) + (decodes && request.generated < request.answerTokens ? 1 : 0);
}
