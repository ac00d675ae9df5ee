import { describe, expect, test } from 'vitest';
import { Simulation } from './simulation.js';

const SEEDS = 200;
const OPERATIONS = 5_000;
/**
 * The model is asked after every operation, and all that the ledger shows is compared; adding up its
 * inner books as well costs more than all the rest, and a wrong book stays wrong: so now and then.
 */
const AUDIT_EVERY = 16;
/** Of processor time, which is what one core needs: other work on the machine does not count. */
const CPU_LIMIT_MS = 60_000;
const WALL_LIMIT_MS = 10 * CPU_LIMIT_MS;

/** What a run must have met, often, to have shown anything. */
const mustHaveSeen = [
  'grant',
  'queued',
  'reclaim',
  'return',
  'settle',
  'adopt',
  'moved',
  'range taken over',
  'expire',
  'exit',
  'close',
  'evict',
  'refused later SESSION_EVICTED',
  'refused SESSION_EVICTED',
  'cancel',
  'place',
  'destroy',
  'overdue',
  'tenant',
  'covered at the end',
  'reserve',
  'promised',
  'draw',
  'keep',
  'cut lapsed',
  'cut guarantee',
  'cut entitlement',
  'drawn at the end',
  'reclaim of idle memory',
  'waits for idle memory',
  'refused PROMISE_UNKNOWN',
  'refused CACHE_UNKNOWN',
  'refused TENANT_UNKNOWN',
  'refused TENANT_LIMIT',
  'refused REVISION_STALE',
  'refused later TENANT_LIMIT',
  'refused QUOTA_EXHAUSTED',
  'refused POOL_EXHAUSTED',
  'refused GRANT_LIMIT',
  'refused GRANT_DUPLICATE',
  'refused EXTENT_FOREIGN',
  'refused EXTENT_RETURNED',
  'refused EXTENT_UNKNOWN',
  'refused SESSION_UNKNOWN',
  'refused ADDRESS_PLAN_EXHAUSTED',
  'refused CACHE_LIMIT',
  'refused INVALID_ARGUMENT',
  'refused later POOL_EXHAUSTED',
  'refused later QUOTA_EXHAUSTED',
  'refused later GRANT_CANCELLED',
];

function simulateAll(): Map<string, number> {
  const seen = new Map<string, number>();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const result = new Simulation({ seed, operations: OPERATIONS, auditEvery: AUDIT_EVERY }).run();
    expect(result.operations).toBe(OPERATIONS);
    for (const [event, count] of result.seen) seen.set(event, (seen.get(event) ?? 0) + count);
  }
  return seen;
}

describe('the ledger does what the reference model says', () => {
  test(`${SEEDS} seeds x ${OPERATIONS} operations, in under a minute`, {
    timeout: WALL_LIMIT_MS,
  }, () => {
    const before = process.cpuUsage();
    const seen = simulateAll();
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1000;
    console.log(
      `${SEEDS} x ${OPERATIONS} operations in ${(cpuMs / 1000).toFixed(1)} s of one core`,
    );
    for (const event of mustHaveSeen)
      expect([event, (seen.get(event) ?? 0) >= 100]).toEqual([event, true]);
    expect(cpuMs).toBeLessThan(CPU_LIMIT_MS);
  });
});
