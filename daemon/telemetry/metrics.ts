/**
 * The daemon in figures, for Prometheus. Gauges are read from the ledger when somebody scrapes;
 * only what happens between two scrapes is counted as it happens.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ErrorCode } from '../../proto/errors.js';
import type { Ledger } from '../core/ledger.js';
import type { PoolView, SessionView, TenantView } from '../core/views.js';
import type { DeviceDescription } from '../ports/device.js';
import type { Observer } from '../ports/observer.js';

export interface MetricsSource {
  readonly ledger: Pick<Ledger, 'pool' | 'sessions' | 'tenants'>;
  readonly device: DeviceDescription;
  readonly version: string;
}

/** Each session is a series: the largest have one of their own, the others one together. */
const SESSIONS_SHOWN_MAX = 50;
const OTHERS = 'others';
/** From a grant out of a warm pool (a millisecond) to one that waits its minute. */
const GRANT_BUCKETS_SECONDS = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const LAG_PRECISION_MS = 50;

/** JavaScript numbers hold every size below 8 PiB exactly. */
const number = (value: bigint): number => Number(value);

export class Metrics implements Observer {
  readonly #registry = new Registry();
  readonly #grants;
  readonly #deliveries;
  readonly #refusals;
  readonly #reclaimed;
  readonly #reclaims;
  readonly #overdue;
  readonly #overdueBytes;
  readonly #faults;

  /** As they were when the latest scrape began: read once, whatever there is to tell of them. */
  #books: Books;

  constructor(private readonly source: MetricsSource) {
    const registers = [this.#registry];
    const books = () => this.#books;
    this.#books = booksOf(source);
    describeBuild(source, registers);
    describePool(books, registers);
    describeTenants(books, registers);
    describeSessions(books, registers);
    this.#grants = new Histogram({
      name: 'kvspan_grant_duration_seconds',
      help: 'From the request of a grant to its answer, waiting for memory included',
      labelNames: ['outcome'],
      buckets: GRANT_BUCKETS_SECONDS,
      registers,
    });
    this.#deliveries = new Histogram({
      name: 'kvspan_grant_delivery_seconds',
      help: 'Driver calls, sending and import of the extents of one grant',
      buckets: GRANT_BUCKETS_SECONDS,
      registers,
    });
    this.#refusals = counter(
      'kvspan_refusals_total',
      'Grants and promises refused, by code',
      ['code'],
      registers,
    );
    // What never happened is 0, not absent: an alert can then tell the two apart.
    for (const code of REFUSAL_CODES) this.#refusals.inc({ code }, 0);
    this.#reclaims = counter(
      'kvspan_reclaims_total',
      'Requests to a session to give back',
      [],
      registers,
    );
    this.#reclaimed = counter(
      'kvspan_reclaim_asked_bytes_total',
      'Bytes asked back',
      [],
      registers,
    );
    this.#overdue = counter(
      'kvspan_reclaims_overdue_total',
      'Reclaims not met by their deadline',
      [],
      registers,
    );
    this.#overdueBytes = counter(
      'kvspan_reclaim_overdue_bytes_total',
      'Bytes not given back by the deadline',
      [],
      registers,
    );
    this.#faults = counter(
      'kvspan_faults_total',
      "Requests that met the daemon's own fault",
      [],
      registers,
    );
  }

  /**
   * Memory, CPU, garbage collection and lag of the event loop, from now on: it costs a timer, so only
   * where somebody can ask for it.
   */
  measureProcess(): void {
    collectDefaultMetrics({
      register: this.#registry,
      eventLoopMonitoringPrecision: LAG_PRECISION_MS,
    });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    this.#books = booksOf(this.source);
    return this.#registry.metrics();
  }

  granted(_: bigint, askedMs: number): void {
    this.#grants.observe({ outcome: 'granted' }, askedMs / 1000);
  }

  delivered(_: number, deliveryMs: number): void {
    this.#deliveries.observe(deliveryMs / 1000);
  }

  refused(code: ErrorCode, askedMs: number): void {
    this.#grants.observe({ outcome: 'refused' }, askedMs / 1000);
    this.#refusals.inc({ code });
  }

  promiseRefused(code: ErrorCode): void {
    this.#refusals.inc({ code });
  }

  reclaimAsked(bytes: bigint): void {
    this.#reclaims.inc();
    this.#reclaimed.inc(number(bytes));
  }

  overdue(missingBytes: bigint): void {
    this.#overdue.inc();
    this.#overdueBytes.inc(number(missingBytes));
  }

  fault(): void {
    this.#faults.inc();
  }
}

/** Those that an operator may want to be told of; any other has its series once it occurs. */
const REFUSAL_CODES: readonly ErrorCode[] = [
  'POOL_EXHAUSTED',
  'QUOTA_EXHAUSTED',
  'TENANT_LIMIT',
  'DEVICE_EXHAUSTED',
  'DEVICE_FAILED',
  'GRANT_LIMIT',
];

interface Books {
  readonly pool: PoolView;
  readonly tenants: readonly TenantView[];
  readonly sessions: readonly SessionView[];
}

const booksOf = ({ ledger }: MetricsSource): Books => ({
  pool: ledger.pool(),
  tenants: ledger.tenants().tenants,
  sessions: ledger.sessions(),
});

type Registers = [Registry] | Registry[];

function counter(
  name: string,
  help: string,
  labelNames: string[],
  registers: Registers,
  collect?: () => void,
): Counter {
  const base = { name, help, labelNames, registers };
  return new Counter(collect === undefined ? base : { ...base, collect });
}

type Collect<Metric> = (this: Metric) => void;

/** Read when somebody scrapes; the registry keeps it. */
function gauge(
  name: string,
  help: string,
  labelNames: string[],
  registers: Registers,
  collect: Collect<Gauge>,
): Gauge {
  return new Gauge({ name, help, labelNames, registers, collect });
}

function describeBuild({ device, version }: MetricsSource, registers: Registers): void {
  new Gauge({
    name: 'kvspan_build_info',
    help: 'Always 1; what runs, and on what',
    labelNames: ['version', 'backend', 'device', 'driver'],
    registers,
  }).set({ version, backend: device.backend, device: device.name, driver: device.driver }, 1);
}

const poolGauges: readonly (readonly [string, string, (pool: PoolView) => number])[] = [
  ['kvspan_pool_bytes', 'Memory of the device that may be used', pool => number(pool.poolBytes)],
  ['kvspan_pool_used_bytes', 'Memory charged to sessions', pool => number(pool.usedBytes)],
  ['kvspan_pool_free_bytes', 'Memory in no use, promised or not', pool => number(pool.freeBytes)],
  [
    'kvspan_pool_promised_bytes',
    'Of the free memory: kept by promise',
    pool => number(pool.promisedBytes),
  ],
  ['kvspan_extents', 'Extents that sessions hold', pool => pool.extentCount],
  [
    'kvspan_sessions',
    'Serving processes, those that are dying included',
    pool => pool.sessionCount,
  ],
  ['kvspan_caches', 'KV caches', pool => pool.cacheCount],
  [
    'kvspan_waiting_grants',
    'Grants and promises that wait for memory',
    pool => pool.waitingGrantCount,
  ],
  ['kvspan_waiting_bytes', 'What they wait for', pool => number(pool.waitingBytes)],
];

const poolCounters: readonly (readonly [string, string, (pool: PoolView) => number])[] = [
  ['kvspan_grants_total', 'Grants decided', pool => number(pool.grantedCount)],
  ['kvspan_granted_bytes_total', 'Bytes granted', pool => number(pool.grantedBytes)],
  [
    'kvspan_returned_bytes_total',
    'Bytes that became free again',
    pool => number(pool.returnedBytes),
  ],
];

function describePool(books: () => Books, registers: Registers): void {
  for (const [name, help, read] of poolGauges)
    gauge(name, help, [], registers, function collect() {
      this.set(read(books().pool));
    });
  for (const [name, help, read] of poolCounters) {
    // The ledger counts; here it is only told on.
    const told: Counter = counter(name, help, [], registers, () => {
      told.reset();
      told.inc(read(books().pool));
    });
  }
}

const tenantGauges: readonly (readonly [string, string, (tenant: TenantView) => number])[] = [
  ['kvspan_tenant_held_bytes', 'What a tenant holds', one => number(one.heldBytes)],
  ['kvspan_tenant_promised_bytes', 'Kept for it by promise', one => number(one.promisedBytes)],
  [
    'kvspan_tenant_evicted_bytes',
    'On accounts of evicted sessions',
    one => number(one.evictedBytes),
  ],
  [
    'kvspan_tenant_borrowed_bytes',
    'Of what it holds and is promised, above its guarantee',
    one => number(one.borrowedBytes),
  ],
  ['kvspan_tenant_guaranteed_bytes', 'Its guarantee', one => number(one.guaranteedBytes)],
  ['kvspan_tenant_limit_bytes', 'Its limit', one => number(one.limitBytes)],
  ['kvspan_tenant_weight', 'Its share above the guarantees', one => one.weight],
  ['kvspan_tenant_sessions', 'Its serving processes', one => one.sessionCount],
  [
    'kvspan_tenant_waiting_grants',
    'Its grants and promises that wait',
    one => one.waitingGrantCount,
  ],
];

function describeTenants(books: () => Books, registers: Registers): void {
  for (const [name, help, read] of tenantGauges)
    gauge(name, help, ['tenant'], registers, function collect() {
      this.reset();
      for (const tenant of books().tenants) this.set({ tenant: tenant.name }, read(tenant));
    });
}

function describeSessions(books: () => Books, registers: Registers): void {
  gauge(
    'kvspan_session_held_bytes',
    `What a session holds: the ${SESSIONS_SHOWN_MAX} largest, and all others together`,
    ['session', 'name', 'tenant'],
    registers,
    function collect() {
      this.reset();
      for (const { labels, bytes } of largest(books().sessions)) this.set(labels, bytes);
    },
  );
}

function largest(
  sessions: readonly SessionView[],
): { labels: { session: string; name: string; tenant: string }; bytes: number }[] {
  const sorted = sessions.toSorted((left, right) =>
    left.heldBytes === right.heldBytes ? 0 : left.heldBytes < right.heldBytes ? 1 : -1,
  );
  const shown = sorted.slice(0, SESSIONS_SHOWN_MAX).map(({ id, peer, tenant, heldBytes }) => ({
    labels: { session: `${id}`, name: peer.name, tenant },
    bytes: number(heldBytes),
  }));
  const rest = sorted.slice(SESSIONS_SHOWN_MAX);
  if (rest.length === 0) return shown;
  const bytes = rest.reduce((sum, { heldBytes }) => sum + number(heldBytes), 0);
  return [...shown, { labels: { session: OTHERS, name: OTHERS, tenant: OTHERS }, bytes }];
}
