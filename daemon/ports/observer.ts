/** Who is told how grants and reclaims went, to count them. Never throws, never waits. */
import type { ErrorCode } from '../../proto/errors.js';

export interface Observer {
  /** `askedMs`: from the request to the answer, waiting for memory included. */
  granted(bytes: bigint, askedMs: number): void;
  /** `deliveryMs`: creating, exporting and sending, until the client has acknowledged it. */
  delivered(extents: number, deliveryMs: number): void;
  refused(code: ErrorCode, askedMs: number): void;
  /** A promise was, which is no grant: it counts among the refusals, not in their times. */
  promiseRefused(code: ErrorCode): void;
  reclaimAsked(bytes: bigint): void;
  overdue(missingBytes: bigint): void;
  /** A request that met a fault of the daemon's own. */
  fault(method: string): void;
}

const nothing = (): void => undefined;

export const noObserver: Observer = {
  granted: nothing,
  delivered: nothing,
  refused: nothing,
  promiseRefused: nothing,
  reclaimAsked: nothing,
  overdue: nothing,
  fault: nothing,
};
