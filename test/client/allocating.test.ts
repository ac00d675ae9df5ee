/** How an allocation looks for memory and asks for it, in orders of events that are hard to meet. */
import { describe, expect, it } from 'vitest';
import { type Deferred, deferred } from '../../client/typescript/deadline.js';
import { allocateWith, type Attempt, type Looking } from '../../client/typescript/refill.js';

const SHORT: Attempt = { slot: -1, need: [1] };
const FOUND: Attempt = { slot: 3, need: [] };

/** Attempts and grants whose ends the test tells; a hurried attempt ends with `onHurry`. */
function scene(onHurry: Attempt = SHORT, alone = true) {
  const attempts: { readonly patienceMs: number; readonly end: Deferred<Attempt> }[] = [];
  const grants: { readonly need: readonly number[]; readonly end: Deferred<void> }[] = [];
  const signals: AbortSignal[] = [];
  const looking: Looking = {
    attempt: patienceMs => {
      const end = deferred<Attempt>();
      attempts.push({ patienceMs, end });
      return end.promise;
    },
    hurry: () => attempts.at(-1)?.end.resolve(onHurry),
    alone: () => alone,
    ask: (need, signal) => {
      const end = deferred<void>();
      grants.push({ need, end });
      signals.push(signal);
      return end.promise;
    },
  };
  return { looking, attempts, grants, signals };
}

const turn = () => new Promise(resolve => setImmediate(resolve));

describe('an allocation', () => {
  it('that surely lacks memory asks first, and then waits where the memory arrives', async () => {
    const { looking, attempts, grants, signals } = scene();
    const slot = allocateWith(looking, [2]);
    expect(grants.map(({ need }) => need)).toEqual([[2]]);
    expect(attempts).toHaveLength(1);
    expect(attempts[0]?.patienceMs).toBeGreaterThan(0);
    attempts[0]?.end.resolve(FOUND);
    expect(await slot).toBe(3);
    expect(signals[0]?.aborted).toBe(true);
  });

  it('that may find memory looks without waiting, and asks for what it lacked', async () => {
    const { looking, attempts, grants } = scene();
    const slot = allocateWith(looking);
    expect(grants).toHaveLength(0);
    expect(attempts[0]?.patienceMs).toBe(0);
    attempts[0]?.end.resolve({ slot: -1, need: [0, 1] });
    await turn();
    expect(grants[0]?.need).toEqual([0, 1]);
    attempts[1]?.end.resolve(FOUND);
    expect(await slot).toBe(3);
  });

  it('whose grant is refused does not wait on, and fails with the refusal', async () => {
    const { looking, attempts, grants } = scene();
    const slot = allocateWith(looking, [2]);
    grants[0]?.end.reject(new Error('refused'));
    await expect(slot).rejects.toThrow('refused');
    expect(attempts).toHaveLength(1);
  });

  it('whose grant is refused has its slot all the same if memory came by another way', async () => {
    const { looking, grants } = scene(FOUND);
    const slot = allocateWith(looking, [2]);
    grants[0]?.end.reject(new Error('refused'));
    expect(await slot).toBe(3);
  });

  it('whose memory somebody else took asks again', async () => {
    const { looking, attempts, grants } = scene();
    const slot = allocateWith(looking, [2]);
    grants[0]?.end.resolve();
    attempts[0]?.end.resolve(SHORT);
    await turn();
    expect(attempts[1]?.patienceMs).toBe(0);
    attempts[1]?.end.resolve({ slot: -1, need: [4] });
    await turn();
    expect(grants.map(({ need }) => need)).toEqual([[2], [4]]);
    attempts[2]?.end.resolve(FOUND);
    expect(await slot).toBe(3);
  });

  it('beside others that wait looks only when its own grant has come', async () => {
    const { looking, attempts, grants } = scene(SHORT, false);
    const slot = allocateWith(looking, [2]);
    await turn();
    expect(attempts).toHaveLength(0);
    grants[0]?.end.resolve();
    await turn();
    expect(attempts.map(({ patienceMs }) => patienceMs)).toEqual([0]);
    attempts[0]?.end.resolve(FOUND);
    expect(await slot).toBe(3);
  });

  it('that is hurried by another one does not look again at once, over and over', async () => {
    const { looking, attempts } = scene();
    const slot = allocateWith(looking, [2]);
    attempts[0]?.end.resolve(SHORT);
    await turn();
    expect(attempts).toHaveLength(1);
    await new Promise(resolve => setTimeout(resolve, 40));
    expect(attempts).toHaveLength(2);
    attempts[1]?.end.resolve(FOUND);
    expect(await slot).toBe(3);
  });
});
