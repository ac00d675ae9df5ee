/** Randomness, for whoever may not have any of their own. */
import { randomBytes, randomInt } from 'node:crypto';

export const TOKEN_BYTES = 32;
const INCIDENT_BYTES = 6;
const EPOCH_END = 2 ** 24;

export interface Random {
  /** What a session proves itself with. */
  token(): Uint8Array;
  /**
   * Sets this run's ids apart from those of any earlier daemon, whose extents may still be about:
   * 24 bits, not 0.
   */
  epoch(): bigint;
  /** Ties an answer "internal error" to its line in the log. */
  incident(): string;
}

export const systemRandom: Random = {
  token: () => randomBytes(TOKEN_BYTES),
  epoch: () => BigInt(randomInt(1, EPOCH_END)),
  incident: () => randomBytes(INCIDENT_BYTES).toString('hex'),
};
