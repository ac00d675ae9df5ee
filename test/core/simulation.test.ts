import { describe, expect, test } from 'vitest';
import { Simulation } from './simulation.js';

const SEEDS = 200;
const OPERATIONS = 5_000;
/**
 * The model is asked after every operation, and all that the ledger shows is compared; adding up its
 * inner books as well costs more than all the rest, and a wrong book stays wrong: so now and then.
 */
const AUDIT_EVERY = 16;
const TIME_LIMIT_MS = 60_000;

describe('the ledger does what the reference model says', () => {
  test(`${SEEDS} seeds x ${OPERATIONS} operations, in under a minute`, {
    timeout: 3 * TIME_LIMIT_MS,
  }, () => {
    const started = performance.now();
    const seen = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const result = new Simulation({
        seed,
        operations: OPERATIONS,
        auditEvery: AUDIT_EVERY,
      }).run();
      expect(result.operations).toBe(OPERATIONS);
      for (const [event, count] of result.seen) seen.set(event, (seen.get(event) ?? 0) + count);
    }
    const elapsedMs = performance.now() - started;
    console.log(`${SEEDS} x ${OPERATIONS} operations in ${(elapsedMs / 1000).toFixed(1)} s`);
    console.log(
      [...seen]
        .toSorted((a, b) => b[1] - a[1])
        .map(([event, count]) => `${event} ${count}`)
        .join(', '),
    );
  });
});
