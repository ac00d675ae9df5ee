/** Trying again: soon at first, then ever more rarely, and not in step with other clients. */
import { pause } from './deadline.js';

export const RECONNECT_FIRST_MS = 50;
export const RECONNECT_MAX_MS = 5_000;

/** The wait before attempt n (from 1): doubled each time, capped, and drawn from its upper half. */
export function delayBefore(attempt: number, random: () => number = Math.random): number {
  const cap = Math.min(RECONNECT_MAX_MS, RECONNECT_FIRST_MS * 2 ** Math.min(attempt - 1, 30));
  return cap / 2 + (cap / 2) * random();
}

/** Calls `attempt` until it says true or the signal is aborted. */
export async function keepTrying(
  attempt: (count: number) => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  for (let count = 1; !signal.aborted; count++) {
    await pause(delayBefore(count), signal);
    if (signal.aborted || (await attempt(count))) return;
  }
}
