/** Faults of promises and of reclaim of idle memory, each planted by a wrapper. */
import type { Ledger } from '../../daemon/core/ledger.js';
import {
  bytes,
  type Effect,
  type GrantId,
  type Instant,
  type SessionId,
} from '../../daemon/core/types.js';
import { spoil } from './faults.js';

/** Everything that answers with effects, with those effects changed. */
function withEffects(
  ledger: Ledger,
  change: (effects: Effect[], at: Instant) => Effect[],
): Partial<Ledger> {
  return {
    requestGrant: (session, request, at) => change(ledger.requestGrant(session, request, at), at),
    reserve: (session, request, at) => change(ledger.reserve(session, request, at), at),
    expire: at => change(ledger.expire(at), at),
    setTenant: (wanted, at) => change(ledger.setTenant(wanted, at), at),
    sessionExited: (session, at) => change(ledger.sessionExited(session, at), at),
    sessionClosed: (session, at) => change(ledger.sessionClosed(session, at), at),
    grantSettled: (session, grant, count, at) =>
      change(ledger.grantSettled(session, grant, count, at), at),
    reclaimReported: (session, id, at) => change(ledger.reclaimReported(session, id, at), at),
    keepPromise: (session, id, left, at) => change(ledger.keepPromise(session, id, left, at), at),
    returnExtents: (session, extents, at) => {
      const { returned, effects } = ledger.returnExtents(session, extents, at);
      return { returned, effects: change(effects, at) };
    },
    adopt: (session, extents, at) => {
      const { heldBytes, effects } = ledger.adopt(session, extents, at);
      return { heldBytes, effects: change(effects, at) };
    },
    cancelGrant: (session, grant, at) => {
      const { cancelled, effects } = ledger.cancelGrant(session, grant, at);
      return { cancelled, effects: change(effects, at) };
    },
  };
}

/** The promises that were made, as far as nobody ended them. */
function promisesMade(effects: readonly Effect[], into: Map<string, [SessionId, GrantId]>): void {
  for (const effect of effects) {
    if (effect.kind === 'promised')
      into.set(`${effect.session} ${effect.promise}`, [effect.session, effect.promise]);
  }
}

export const flowFaults: Readonly<Record<string, (ledger: Ledger) => Ledger>> = {
  'what is promised is not kept free': ledger =>
    spoil(ledger, {
      reserve: (session, request, at) => {
        const effects = ledger.reserve(session, request, at);
        const [made] = effects;
        if (made?.kind === 'promised') ledger.keepPromise(session, made.promise, bytes(0n), at);
        return effects;
      },
    }),
  'what is used of a promise is charged beside it': ledger =>
    spoil(ledger, {
      requestGrant: (session, request, at) =>
        ledger.requestGrant(session, { ...request, promise: null }, at),
    }),
  'a promise never lapses': ledger => {
    const made = new Map<string, [SessionId, GrantId]>();
    const changed = withEffects(ledger, effects => {
      promisesMade(effects, made);
      return effects;
    });
    return spoil(ledger, {
      ...changed,
      expire: at => {
        for (const [session, promise] of made.values()) {
          try {
            ledger.keepPromise(session, promise, ledger.pool().poolBytes, at);
          } catch {
            // Ended: the next.
          }
        }
        return ledger.expire(at);
      },
    });
  },
  'a promise does not shrink': ledger =>
    spoil(ledger, {
      keepPromise: (session, promise, left, at) =>
        ledger.keepPromise(session, promise, left > 0n ? ledger.pool().poolBytes : left, at),
    }),
  'a promise outlives its connection': ledger => {
    let kept = 0n;
    return spoil(ledger, {
      sessionClosed: (session, at) => {
        kept += ledger.session(session).promisedBytes;
        return ledger.sessionClosed(session, at);
      },
      pool: () => {
        const pool = ledger.pool();
        return { ...pool, promisedBytes: bytes(pool.promisedBytes + kept) };
      },
    });
  },
  'nobody is told that his promise was cut': ledger =>
    spoil(
      ledger,
      withEffects(ledger, effects => effects.filter(({ kind }) => kind !== 'cut')),
    ),
  'a promise of another cache, or of none, is made': ledger =>
    spoil(ledger, {
      reserve: (session, request, at) => {
        try {
          return ledger.reserve(session, request, at);
        } catch (error) {
          if ((error as { code?: string }).code !== 'CACHE_UNKNOWN') throw error;
          return [{ kind: 'promised', session, promise: request.promise, bytes: bytes(0n) }];
        }
      },
    }),
  'what lies idle is not asked for': ledger =>
    spoil(
      ledger,
      withEffects(ledger, effects =>
        effects.filter(effect => effect.kind !== 'reclaim' || !effect.idleOnly),
      ),
    ),
  'live memory is asked of who is within its share': ledger =>
    spoil(
      ledger,
      withEffects(ledger, effects =>
        effects.map(effect =>
          effect.kind === 'reclaim' ? { ...effect, idleOnly: false } : effect,
        ),
      ),
    ),
  'who has nothing idle is recorded as late': ledger => {
    const asked: Extract<Effect, { kind: 'reclaim' }>[] = [];
    return spoil(
      ledger,
      withEffects(ledger, (effects, at) => {
        const late = asked.filter(({ deadline }) => deadline <= at);
        asked.splice(0, asked.length, ...asked.filter(({ deadline }) => deadline > at));
        for (const effect of effects)
          if (effect.kind === 'reclaim' && effect.idleOnly) asked.push(effect);
        return [
          ...late.map(
            ({ session, reclaim, wantedBytes }): Effect => ({
              kind: 'overdue',
              session,
              reclaim,
              wantedBytes,
              missingBytes: wantedBytes,
              levelBytes: bytes(0n),
            }),
          ),
          ...effects,
        ];
      }),
    );
  },
};
