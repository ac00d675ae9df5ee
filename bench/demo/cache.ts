/** The part of the client's cache that the engine uses. */
import { KvspanError } from '../../proto/errors.js';
import type { CacheStats } from '../../native/native.js';

export type Outcome = 'nothing' | 'ahead' | 'mapped' | 'refilled' | 'short';

export const outcomes: readonly Outcome[] = ['nothing', 'ahead', 'mapped', 'refilled', 'short'];

export interface StepAnswer {
  readonly outcome: Outcome;
  /** On the caller's thread. */
  readonly driverCalls: number;
}

export interface EngineCache {
  allocate(tokens: number, options: { readonly waitMs: number }): Promise<number>;
  tryStep(lengths: Int32Array): StepAnswer;
  step(lengths: Int32Array, options: { readonly waitMs: number }): Promise<StepAnswer>;
  free(slot: number): void;
  writeTokens(slot: number, firstToken: number, rows: Uint8Array): void;
  readTokens(slot: number, firstToken: number, tokens: number): Uint8Array;
  attend(layer: number, slot: number, queries: Float32Array): Promise<Float32Array>;
  stats(): Pick<CacheStats, 'mappedBytes' | 'idleBytes' | 'liveBytes'>;
}

const shortages: ReadonlySet<string> = new Set([
  'POOL_EXHAUSTED',
  'QUOTA_EXHAUSTED',
  'TENANT_LIMIT',
  'DEVICE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
  'GRANT_LIMIT',
  'GRANT_CANCELLED',
]);

/** There is no memory now: the engine waits or preempts. Anything else is a fault. */
export function isMemoryShortage(error: unknown): boolean {
  return error instanceof KvspanError && shortages.has(error.code);
}
