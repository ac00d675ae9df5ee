/** Waits for what another process or thread will do, by looking. */
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 10;

/** Throws what `look` threw last, or `what`, if it does not come true within `limitMs`. */
export async function until(
  what: string,
  look: () => boolean | Promise<boolean>,
  limitMs = 30_000,
): Promise<void> {
  const end = performance.now() + limitMs;
  let failure: unknown;
  for (;;) {
    try {
      failure = undefined;
      if (await look()) return;
    } catch (error) {
      failure = error;
    }
    if (performance.now() >= end) throw failure ?? new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}
