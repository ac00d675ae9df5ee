/** What an engine remembers of its run. */
import type { Cache, Session } from '../../client/typescript/index.js';
import type { MemorySample, ServeAnswer } from './protocol.js';

/** Looking costs some microseconds, and a plot shows no more. */
const MEMORY_EVERY_MS = 25;

export class EngineRecord {
  preempted = 0;
  reclaims = 0;
  missed = 0;
  mismatches = 0;
  #generatedTokens = 0;
  readonly #requests: {
    readonly arrivalMs: number;
    firstTokenMs: number | null;
    endMs: number | null;
  }[];
  readonly #steps: number[] = [];
  readonly #passes: number[] = [];
  readonly #memory: MemorySample[] = [];

  constructor(arrivals: readonly number[]) {
    this.#requests = arrivals.map(arrivalMs => ({ arrivalMs, firstTokenMs: null, endMs: null }));
  }

  step(us: number): void {
    this.#steps.push(us);
  }

  pass(ms: number, decoded: number): void {
    this.#passes.push(ms);
    this.#generatedTokens += decoded;
  }

  /** Of a request that was preempted the first one counts. */
  firstToken(index: number, atMs: number): void {
    const request = this.#requests[index];
    if (request !== undefined) request.firstTokenMs ??= atMs;
  }

  ended(index: number, atMs: number): void {
    const request = this.#requests[index];
    if (request !== undefined) request.endMs = atMs;
  }

  memory(atMs: number, cache: Cache, session: Session): void {
    const last = this.#memory.at(-1);
    if (last !== undefined && atMs - last.atMs < MEMORY_EVERY_MS) return;
    const liveBytes = Number(cache.stats().liveBytes);
    this.#memory.push({ atMs, liveBytes, heldBytes: Number(session.stats().heldBytes) });
  }

  answer(work: ServeAnswer['work']): ServeAnswer {
    const { preempted, reclaims, missed, mismatches } = this;
    return {
      requests: this.#requests,
      memory: this.#memory,
      steps: Float64Array.from(this.#steps),
      passes: Float64Array.from(this.#passes),
      generatedTokens: this.#generatedTokens,
      preempted,
      reclaims,
      missed,
      mismatches,
      work,
    };
  }
}
