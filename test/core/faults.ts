import type { GrantRequest, Ledger } from '../../daemon/core/ledger.js';
import {
  bytes,
  extentId,
  type Effect,
  type Instant,
  type SessionId,
} from '../../daemon/core/types.js';

/** A ledger with one thing wrong: what stands in `wrong`, all else as it is. */
export function spoil(ledger: Ledger, wrong: Partial<Ledger>): Ledger {
  return new Proxy(ledger, {
    get(target, name) {
      if (Object.hasOwn(wrong, name)) return wrong[name as keyof Ledger];
      const value: unknown = target[name as keyof Ledger];
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** True once, at the n-th call: a fault that shows late must be found as well. */
function atCall(n: number): () => boolean {
  let calls = 0;
  return () => (calls += 1) === n;
}

/** Faults that a ledger could have, each planted by a wrapper; the key says what goes wrong. */
export const faults: Readonly<Record<string, (ledger: Ledger) => Ledger>> = {
  'a return is answered but not credited': ledger => {
    const now = atCall(100);
    return spoil(ledger, {
      returnExtents: (session, extents, at) => {
        if (!now() || extents.length === 0) return ledger.returnExtents(session, extents, at);
        const { heldBytes } = ledger.session(session);
        return {
          returned: { extentCount: extents.length, returnedBytes: bytes(0n), heldBytes },
          effects: [],
        };
      },
    });
  },
  'an extent that stands twice in one return is taken once': ledger =>
    spoil(ledger, {
      returnExtents: (session, extents, at) =>
        ledger.returnExtents(session, [...new Set(extents)], at),
    }),
  'a waiting grant is overtaken by a later one': ledger => {
    const last: { session: SessionId; request: GrantRequest }[] = [];
    return spoil(ledger, {
      requestGrant: (session, request, at) => {
        const first = last.find(other => waits(ledger, other.session));
        const effects = ledger.requestGrant(session, request, at);
        last.push({ session, request });
        if (first === undefined || grants(effects)) return effects;
        // Whoever waited goes to the end of the line.
        const { cancelled, effects: freed } = ledger.cancelGrant(
          first.session,
          first.request.grant,
          at,
        );
        if (!cancelled) return effects;
        const again = ledger.requestGrant(first.session, first.request, at);
        return [...effects, ...freed.filter(effect => effect.kind === 'grant'), ...again];
      },
    });
  },
  'a wake-up is lost': ledger => {
    const now = atCall(5);
    const drop = (effects: Effect[]): Effect[] =>
      effects.filter(effect => effect.kind !== 'grant' || !now());
    return spoil(ledger, {
      returnExtents: (session, extents, at) => {
        const { returned, effects } = ledger.returnExtents(session, extents, at);
        return { returned, effects: drop(effects) };
      },
    });
  },
  'an exited session is credited for what is in flight': ledger =>
    spoil(ledger, {
      sessionExited: (session, at) => {
        const effects = ledger.sessionExited(session, at);
        return [...effects, ...settleAll(ledger, session, at)];
      },
    }),
  'what was not imported stays charged': ledger =>
    spoil(ledger, {
      grantSettled: (session, grant, imported, at) =>
        ledger.grantSettled(session, grant, imported === 0 ? 1 : imported, at),
    }),
  'a closed session is taken for an exited one': ledger =>
    spoil(ledger, {
      sessionClosed: (session, at) => ledger.sessionExited(session, at),
    }),
  'nobody is refused when the time is over': ledger => spoil(ledger, { expire: () => [] }),
  'a grant is cut down although all was asked': ledger =>
    spoil(ledger, {
      requestGrant: (session, request, at) =>
        ledger.requestGrant(
          session,
          request.minimumBytes === 0n ? { ...request, minimumBytes: bytes(1n) } : request,
          at,
        ),
    }),
  'a foreign extent is returned': ledger =>
    spoil(ledger, {
      returnExtents: (session, extents, at) => {
        try {
          return ledger.returnExtents(session, extents, at);
        } catch (error) {
          if ((error as { code?: string }).code !== 'EXTENT_FOREIGN') throw error;
          const returned = {
            extentCount: extents.length,
            returnedBytes: bytes(0n),
            heldBytes: ledger.session(session).heldBytes,
          };
          return { returned, effects: [] };
        }
      },
    }),
  'what moves to a later session stays charged to the former': ledger => {
    // Shown, as it would be if the move forgot to release it: the pool itself is right.
    const kept = new Map<SessionId, bigint>();
    return spoil(ledger, {
      adopt: (session, extents, at) => {
        const before = heldByOthers(ledger, session);
        const held = ledger.adopt(session, extents, at);
        const after = heldByOthers(ledger, session);
        for (const [id, bytesBefore] of before) {
          const lost = bytesBefore - (after.get(id) ?? bytesBefore);
          if (lost > 0n) kept.set(id, (kept.get(id) ?? 0n) + lost);
        }
        return held;
      },
      sessions: () =>
        ledger.sessions().map(view => ({
          ...view,
          heldBytes: bytes(view.heldBytes + (kept.get(view.id) ?? 0n)),
        })),
    });
  },
  'a foreign extent is adopted': ledger =>
    spoil(ledger, {
      adopt: (session, extents, at) => {
        try {
          return ledger.adopt(session, extents, at);
        } catch (error) {
          if ((error as { code?: string }).code !== 'EXTENT_FOREIGN') throw error;
          return { heldBytes: ledger.session(session).heldBytes, effects: [] };
        }
      },
    }),
  'a session with nothing left is remembered': ledger => {
    const opened: SessionId[] = [];
    return spoil(ledger, {
      openSession: (peer, at) => {
        const id = ledger.openSession(peer, at);
        opened.push(id);
        return id;
      },
      pool: () => ({ ...ledger.pool(), sessionCount: opened.length }),
      sessionExited: (session, at) => {
        const index = opened.indexOf(session);
        if (index >= 0) opened.splice(index, 1);
        return ledger.sessionExited(session, at);
      },
    });
  },
  'an extent id is given twice': ledger => {
    const now = atCall(50);
    return spoil(ledger, {
      requestGrant: (session, request, at) =>
        ledger.requestGrant(session, request, at).map(effect => {
          if (effect.kind !== 'grant' || !now()) return effect;
          return {
            ...effect,
            extents: effect.extents.map(extent => ({ ...extent, id: extentId(extent.id - 1n) })),
          };
        }),
    });
  },
  'a session is asked to give back twice at once': ledger =>
    spoil(ledger, {
      requestGrant: (session, request, at) =>
        ledger
          .requestGrant(session, request, at)
          .flatMap((effect): Effect[] => (effect.kind === 'reclaim' ? [effect, effect] : [effect])),
    }),
  'a change that is based on old entitlements is taken': ledger =>
    spoil(ledger, {
      setTenant: (change, at) =>
        ledger.setTenant({ ...change, revision: ledger.tenants().revision }, at),
    }),
  'a limit that was lowered is not kept': ledger =>
    spoil(ledger, {
      setTenant: (change, at) =>
        ledger.setTenant({ ...change, limitBytes: ledger.pool().poolBytes }, at),
    }),
  'what is held is lent': ledger =>
    spoil(ledger, {
      setTenant: (change, at) => ledger.setTenant({ ...change, held: false }, at),
    }),
  'a guarantee is forgotten': ledger =>
    spoil(ledger, {
      setTenant: (change, at) => ledger.setTenant({ ...change, guaranteedBytes: bytes(0n) }, at),
    }),
  'changed entitlements wake nobody': ledger =>
    spoil(ledger, {
      setTenant: (change, at) => {
        ledger.setTenant(change, at);
        return [];
      },
    }),
  'nobody is asked to give back for a guarantee': ledger => {
    return spoil(ledger, {
      requestGrant: (session, request, at) =>
        withoutReclaims(ledger.requestGrant(session, request, at)),
      expire: at => withoutReclaims(ledger.expire(at)),
    });
  },
  'who owes is not named': ledger =>
    spoil(ledger, {
      expire: at => ledger.expire(at).filter(effect => effect.kind !== 'overdue'),
    }),
  'an evicted session is only closed': ledger =>
    spoil(ledger, { evict: (session, at) => ledger.sessionClosed(session, at) }),
  'a cache overlaps another': ledger =>
    spoil(ledger, {
      caches: session => {
        const [first, ...rest] = ledger.caches(session);
        return first === undefined
          ? []
          : [
              first,
              ...rest.map(view => ({
                ...view,
                plan: { ...view.plan, baseAddress: first.plan.baseAddress },
              })),
            ];
      },
    }),
};

const withoutReclaims = (effects: readonly Effect[]): Effect[] =>
  effects.filter(effect => effect.kind !== 'reclaim');

const grants = (effects: readonly Effect[]): boolean =>
  effects.some(effect => effect.kind === 'grant');

function waits(ledger: Ledger, session: SessionId): boolean {
  return ledger.sessions().some(view => view.id === session && view.waitingGrantCount > 0);
}

const heldByOthers = (ledger: Ledger, session: SessionId): Map<SessionId, bigint> =>
  new Map(
    ledger
      .sessions()
      .filter(view => view.id !== session)
      .map(view => [view.id, view.heldBytes]),
  );

/** Settles what it can find of a session that still has grants in flight. */
function settleAll(ledger: Ledger, session: SessionId, at: Instant): Effect[] {
  const effects: Effect[] = [];
  for (let grant = 1n; grant < 3_000n; grant += 1n) {
    if (!ledger.sessions().some(view => view.id === session)) break;
    try {
      effects.push(...ledger.grantSettled(session, grant as never, 0, at));
    } catch {
      // Not a grant of this session: the next.
    }
  }
  return effects;
}
