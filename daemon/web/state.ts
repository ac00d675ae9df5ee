/** The books as the page wants them: plain JSON, sizes as numbers (all of them are below 2^53). */
import type { Ledger } from '../core/ledger.js';
import { sessionId } from '../core/types.js';
import type { Clock } from '../ports/clock.js';
import type { DeviceDescription } from '../ports/device.js';
import { type History, SAMPLE_EVERY_MS } from './history.js';

export interface StateSource {
  readonly ledger: Ledger;
  readonly device: DeviceDescription;
  readonly clock: Clock;
  readonly history: History;
  readonly version: string;
}

/** What there is now; `sampleEveryMs` is how often it is worth asking. */
export function snapshot({ ledger, device, clock, version }: StateSource): unknown {
  const now = clock.now();
  return {
    at: Date.now(),
    version,
    sampleEveryMs: SAMPLE_EVERY_MS,
    device: {
      backend: device.backend,
      name: device.name,
      driver: device.driver,
      totalBytes: device.totalBytes,
    },
    pool: ledger.pool(),
    tenants: ledger.tenants().tenants,
    sessions: ledger.sessions().map(({ id, peer, openedAt, ...session }) => ({
      id,
      pid: peer.pid,
      uid: peer.uid,
      name: peer.name,
      ageMs: Math.floor(now - openedAt),
      ...session,
    })),
  };
}

export const past = ({ history }: StateSource): unknown => ({
  sampleEveryMs: SAMPLE_EVERY_MS,
  samples: history.samples(),
});

/** SESSION_UNKNOWN if there is no such session. */
export const cachesOf = ({ ledger }: StateSource, id: bigint): unknown => ({
  caches: ledger.caches(sessionId(id)),
});

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => (typeof one === 'bigint' ? Number(one) : one));
}
