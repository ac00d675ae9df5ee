import { describe, expect, test } from 'vitest';
import type { Ledger } from '../../daemon/core/ledger.js';
import { faults, spoil } from './faults.js';
import { flowFaults } from './faults-flow.js';
import { Simulation } from './simulation.js';

/** Fewer than the real run has: a fault that needs more is not caught reliably by it either. */
const SEEDS = 20;
const OPERATIONS = 1_500;

function firstFailure(wrap: (ledger: Ledger) => Ledger): string | null {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    try {
      new Simulation({ seed, operations: OPERATIONS, auditEvery: 16, wrap }).run();
    } catch (error) {
      return (error as Error).message;
    }
  }
  return null;
}

describe('the simulation finds', () => {
  test.each(Object.entries({ ...faults, ...flowFaults }))('%s', (_name, wrap) => {
    const message = firstFailure(wrap);
    // A failure that can be repeated: it names the seed and the operation, and what came before.
    expect(message).toMatch(
      /^seed \d+, operation \d+: .+\nthe last operations:\n {2}#\d+ at \d+ ms: /,
    );
  });

  test('nothing in the ledger as it is', () => {
    // Behind the same kind of wrapper, so that it is not the wrapper that is found.
    expect(firstFailure(ledger => spoil(ledger, {}))).toBeNull();
  });
});
