/** Time, for whoever may not look at a clock of their own. */
import { instant, type Instant } from '../core/types.js';

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): Instant;
  /** Runs `action` once; does not keep the process alive. */
  after(ms: number, action: () => void): Timer;
}

/** setTimeout takes no more than 2^31 - 1 and fires at once for more. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => instant(performance.now()),
  after(ms, action) {
    const timeout = setTimeout(action, Math.min(Math.max(0, Math.ceil(ms)), TIMEOUT_MS_MAX));
    timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
};
