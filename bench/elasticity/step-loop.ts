/** Steps one behind the other, as an engine's passes make them, each with its time of day. */
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Cache } from '../../client/typescript/index.js';
import { type StepSamples, timeOfDay } from './protocol.js';

/** Then a pause: the other processes of a small machine want to run too. */
const STEPS_AT_ONCE = 16;

export class StepLoop {
  readonly #atMs: number[] = [];
  readonly #us: number[] = [];
  readonly #ended: Promise<void>;
  #stopping = false;

  constructor(cache: Cache, lengths: Int32Array) {
    this.#ended = this.#run(cache, lengths);
  }

  async stop(): Promise<StepSamples> {
    this.#stopping = true;
    await this.#ended;
    return { atMs: Float64Array.from(this.#atMs), us: Float64Array.from(this.#us) };
  }

  async #run(cache: Cache, lengths: Int32Array): Promise<void> {
    for (let i = 1; !this.#stopping; i += 1) {
      const begin = performance.now();
      cache.tryStep(lengths);
      this.#us.push((performance.now() - begin) * 1000);
      this.#atMs.push(timeOfDay());
      // Grants and reclaims come by the event loop.
      await (i % STEPS_AT_ONCE === 0 ? sleep(1) : setImmediate());
    }
  }
}
