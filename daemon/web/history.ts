/** The last ten minutes of the pool, a sample a second, whether anybody looks or not. */
import type { Ledger } from '../core/ledger.js';
import type { Clock, Timer } from '../ports/clock.js';

export const SAMPLE_EVERY_MS = 1_000;
const SAMPLES_MAX = 600;

export interface Sample {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly usedBytes: number;
  readonly waitingBytes: number;
  readonly heldByTenant: Readonly<Record<string, number>>;
}

export class History {
  readonly #samples: Sample[] = [];
  #timer: Timer | null = null;

  constructor(
    private readonly ledger: Pick<Ledger, 'pool' | 'tenants'>,
    private readonly clock: Clock,
  ) {}

  start(): void {
    this.#take();
    this.#timer = this.clock.after(SAMPLE_EVERY_MS, () => this.start());
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  samples(): readonly Sample[] {
    return this.#samples;
  }

  #take(): void {
    const { usedBytes, waitingBytes } = this.ledger.pool();
    const held = this.ledger
      .tenants()
      .tenants.map(({ name, heldBytes }) => [name, Number(heldBytes)] as const);
    this.#samples.push({
      at: Date.now(),
      usedBytes: Number(usedBytes),
      waitingBytes: Number(waitingBytes),
      heldByTenant: Object.fromEntries(held),
    });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
  }
}
