/**
 * kvspan's client for TypeScript.
 *
 *   const session = await connect();
 *   const cache = await session.createCache({ layers: 32, kvHeads: 8, headDim: 128, dtype: 'bf16',
 *                                             slots: 256, maxTokens: 8192 });
 *   const slot = await cache.allocate(prompt.length);   // contiguous, mapped as far as the prompt
 *   const k = cache.key(0);                             // a strided tensor for any dense kernel
 *   await cache.step(new Map([[slot, prompt.length + 1]]));   // before each forward pass
 *   cache.free(slot);
 *   await session.close();
 */
export { type ErrorCode, type Holder, KvspanError } from '../../proto/errors.js';
export { AdminClient, type AdminOptions } from './admin.js';
export type {
  CacheView,
  Entitlement,
  PoolView,
  SessionView,
  TenantList,
  TenantView,
} from './admin-views.js';
export { connect, CONNECT_TIMEOUT_MS_DEFAULT, GRANT_WAIT_MS_DEFAULT } from './connect.js';
export type { Listener, PromiseCut, SessionEvent, SessionEvents } from './events.js';
export { type CachePlan, type Dtype, dtypeBytes, type Geometry, type Layout } from './geometry.js';
export type { OnReclaim } from './reclaiming.js';
export type { Reservation, ReservationEnd } from './reservations.js';
export type { HeldExtent, ServerInfo } from './service.js';
export type { CacheStats, SessionState, SessionStats } from './stats.js';
export type { Lengths, StepOutcome, StepResult } from './stepper.js';
export type {
  AcquireOptions,
  AllocateOptions,
  AttendOptions,
  Cache,
  CacheOptions,
  ConnectOptions,
  ReserveOptions,
  Session,
  WaitOptions,
} from './types.js';
export type { StridedView } from './views.js';
