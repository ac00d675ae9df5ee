/**
 * A continuous-batching engine over real kernels, with no model round them: the demo's scheduler
 * decides who runs, a manager gives memory, and every pass appends, prefills and decodes on the
 * device. Each pass is timed part by part; it ends when the device is done.
 */
import { lengthOf, type Running, Scheduler } from '../demo/scheduler.js';
import type { TraceRequest } from '../trace/types.js';
import type { PassKernels, PassTimes } from './kernels.js';
import { commitPass, planPass } from './pass.js';
import type { KvSource } from './sources.js';

/** Microseconds of one pass. */
export interface PassRecord extends PassTimes {
  /** Memory of new requests; with it the giving up of ended ones. */
  readonly admission: number;
  /** Memory of everybody's next token: `step`, or blocks. */
  readonly step: number;
  /** Telling the device where the requests lie. */
  readonly tables: number;
  readonly decodeRequests: number;
  readonly newTokens: number;
}

export interface ServingRun {
  readonly passes: readonly PassRecord[];
  readonly preempted: number;
  readonly completed: number;
}

export interface ServingOptions {
  readonly requests: readonly TraceRequest[];
  readonly batchMax: number;
  readonly prefillBudget: number;
  /** The first passes fill the batch and are not recorded. */
  readonly warmupPasses: number;
  readonly passes: number;
}

const US_PER_MS = 1000;

export class ServingEngine {
  readonly #source: KvSource;
  readonly #kernels: Pick<PassKernels, 'run'>;
  readonly #options: ServingOptions;
  readonly #scheduler: Scheduler;

  constructor(source: KvSource, kernels: Pick<PassKernels, 'run'>, options: ServingOptions) {
    this.#source = source;
    this.#kernels = kernels;
    this.#options = options;
    this.#scheduler = new Scheduler(options.requests, options.batchMax);
  }

  async run(tick: (share: number) => void): Promise<ServingRun> {
    const { warmupPasses, passes } = this.#options;
    const records: PassRecord[] = [];
    for (let i = 0; i < warmupPasses + passes && !this.#scheduler.done; i += 1) {
      const record = await this.#pass();
      if (i >= warmupPasses && record !== null) records.push(record);
      tick((i + 1) / (warmupPasses + passes));
    }
    for (const request of this.#scheduler.running) this.#source.manager.free(request.slot);
    const { preempted, completed } = this.#scheduler;
    return { passes: records, preempted, completed };
  }

  /** Null: everybody who ran was preempted, or nobody fitted. */
  async #pass(): Promise<PassRecord | null> {
    const ending = await timed(async () => this.#end());
    const admission = await timed(() => this.#admit());
    const step = await timed(() => this.#grow());
    const pass = planPass(this.#scheduler.running, this.#options.prefillBudget);
    if (pass.requests.length === 0) return null;
    const tables = await timed(async () =>
      this.#source.publish(pass.requests.map(request => request.slot)),
    );
    const times = this.#kernels.run(this.#source, pass);
    commitPass(pass);
    return {
      ...times,
      admission: ending + admission,
      step,
      tables,
      decodeRequests: pass.decodeCount,
      newTokens: pass.rowStarts.at(-1) as number,
    };
  }

  #end(): void {
    const ended = this.#scheduler.running.filter(
      request =>
        request.prefilled >= request.prefillTokens && request.generated >= request.answerTokens,
    );
    for (const request of ended) {
      this.#source.manager.free(request.slot);
      this.#scheduler.finish(request);
    }
  }

  async #admit(): Promise<void> {
    const next = () => this.#scheduler.next(Number.POSITIVE_INFINITY);
    for (let request = next(); request !== null; request = next()) {
      const handle = await this.#source.manager.admit(request.prefillTokens);
      if (handle !== null) this.#scheduler.admit(handle);
      else if (this.#scheduler.refuse() === 'waits') return;
    }
  }

  /** Memory of everybody's next token, or of everybody's who is left after preemptions. */
  async #grow(): Promise<void> {
    while (this.#scheduler.running.length > 0) {
      const lengths = new Map(
        this.#scheduler.running.map(request => [request.slot, nextLength(request)]),
      );
      const growing = this.#source.manager.grow(lengths);
      const short = growing instanceof Promise ? await growing : growing;
      if (short.length === 0) return;
      this.#source.manager.free(this.#scheduler.preempt().request.slot);
    }
  }
}

/** A prompt has its memory from the beginning. */
function nextLength(request: Running): number {
  const decodes = request.prefilled >= request.prefillTokens;
  return lengthOf(request) + (decodes && request.generated < request.answerTokens ? 1 : 0);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) * US_PER_MS;
}
