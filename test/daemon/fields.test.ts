/** Every field of every request, out of its range: refused by name, nothing changed. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { UINT32_MAX, UINT64_MAX } from '../../proto/codec.js';
import type { ExchangeRequest } from '../../proto/generated/kvspan/v1/ExchangeRequest.js';
import { decodeRefusal } from '../../proto/refusal.js';
import { loadReflectedPackage } from '../../proto/load.js';
import { camel, promiseRows, type Row } from './promise-fields.js';
import {
  answerTo,
  call,
  refusal,
  scriptedDaemon,
  TestStream,
  withToken,
  type ScriptedDaemon,
} from './harness.js';

// Other work shares the machine: what is late is not yet wrong.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let daemon: ScriptedDaemon;
let token: Uint8Array;
let cacheId = '';
let stream: TestStream;

beforeAll(async () => {
  daemon = await scriptedDaemon();
  ({ token } = daemon.channel.hello());
  const { memory } = daemon.clients;
  const geometry = {
    layout: 1,
    layersCount: 2,
    kvHeadsCount: 2,
    headDimCount: 64,
    dtype: 1,
    slotsCount: 4,
    maxTokensCount: 64,
  } as const;
  ({ cacheId } = await call(memory, 'createCache', { geometry, name: 'good' }, withToken(token)));
  stream = TestStream.open(memory, token);
  await stream.next();
});
afterAll(() => daemon.stop());

const max = UINT64_MAX.toString();
const good = {
  layout: 1,
  layersCount: 1,
  kvHeadsCount: 1,
  headDimCount: 1,
  dtype: 1,
  slotsCount: 1,
  maxTokensCount: 1,
} as const;
const acquire = { grantId: '1', orderCounts: [1] };

const create = (change: object, more: object = {}) =>
  call(
    daemon.clients.memory,
    'createCache',
    { geometry: { ...good, ...change }, ...more },
    withToken(token),
  );
const unary = (
  method:
    | 'acquire'
    | 'return'
    | 'placeCache'
    | 'destroyCache'
    | 'adopt'
    | 'reserve'
    | 'updatePromise',
  request: object,
) => call(daemon.clients.memory, method, request, withToken(token));

async function onStream(
  request: Omit<ExchangeRequest, 'requestId'>,
  requestId?: string,
): Promise<never> {
  if (requestId !== undefined) stream.call.write({ requestId, ...request });
  const answer = await stream.next(answerTo(requestId ?? stream.send(request)));
  if (!answer.refusal) throw new Error(`was not refused: ${JSON.stringify(answer)}`);
  throw decodeRefusal(answer.refusal);
}

const bad = 'INVALID_ARGUMENT';

const rows: Row[] = [
  ['CreateCacheRequest.geometry', 'none', () => unaryCreate({ geometry: null }), bad, 'geometry'],
  [
    'CreateCacheRequest.wanted_base_address',
    'inside a page',
    () => create({}, { wantedBaseAddress: '4097' }),
    bad,
    'wanted_base_address',
  ],
  ['CreateCacheRequest.name', '65 bytes', () => create({}, { name: 'x'.repeat(65) }), bad, 'name'],
  [
    'CreateCacheRequest.name',
    'a control character',
    () => create({}, { name: 'a\nb' }),
    bad,
    'name',
  ],
  ['CacheGeometry.layout', 'none', () => create({ layout: 0 }), bad, 'geometry.layout'],
  ['CacheGeometry.layout', 'an unknown one', () => create({ layout: 9 }), bad, 'geometry.layout'],
  ['CacheGeometry.dtype', 'none', () => create({ dtype: 0 }), bad, 'geometry.dtype'],
  ['CacheGeometry.dtype', 'an unknown one', () => create({ dtype: 99 }), bad, 'geometry.dtype'],
  ...(['layers', 'kv_heads', 'head_dim', 'slots', 'max_tokens'] as const).flatMap((name): Row[] =>
    [0, UINT32_MAX].map(value => {
      const key = `${camel(name)}Count`;
      return [
        `CacheGeometry.${name}_count`,
        String(value),
        () => create({ [key]: value }),
        bad,
        `geometry.${name}_count`,
      ];
    }),
  ),
  [
    'PlaceCacheRequest.cache_id',
    'unknown',
    () => unary('placeCache', { cacheId: max, actualBaseAddress: '0' }),
    'CACHE_UNKNOWN',
    'cache_id',
  ],
  [
    'PlaceCacheRequest.actual_base_address',
    'inside a page',
    () => unary('placeCache', { cacheId, actualBaseAddress: '4097' }),
    bad,
    'actual_base_address',
  ],
  [
    'PlaceCacheRequest.actual_base_address',
    '0',
    () => unary('placeCache', { cacheId, actualBaseAddress: '0' }),
    bad,
    'actual_base_address',
  ],
  [
    'PlaceCacheRequest.actual_base_address',
    'the last page',
    () => unary('placeCache', { cacheId, actualBaseAddress: String(2n ** 64n - 2n ** 21n) }),
    bad,
    'actual_base_address',
  ],
  [
    'DestroyCacheRequest.cache_id',
    '0',
    () => unary('destroyCache', { cacheId: '0' }),
    'CACHE_UNKNOWN',
    'cache_id',
  ],
  [
    'AcquireRequest.grant_id',
    '0',
    () => unary('acquire', { ...acquire, grantId: '0' }),
    bad,
    'grant_id',
  ],
  [
    'AcquireRequest.order_counts',
    'none',
    () => unary('acquire', { grantId: '1' }),
    bad,
    'order_counts',
  ],
  [
    'AcquireRequest.order_counts',
    'all zero',
    () => unary('acquire', { grantId: '1', orderCounts: [0, 0] }),
    bad,
    'order_counts',
  ],
  [
    'AcquireRequest.order_counts',
    'eleven',
    () => unary('acquire', { grantId: '1', orderCounts: Array(11).fill(1) }),
    bad,
    'order_counts',
  ],
  [
    'AcquireRequest.order_counts',
    '2^32 - 1',
    () => unary('acquire', { grantId: '1', orderCounts: [UINT32_MAX] }),
    bad,
    'order_counts[0]',
  ],
  [
    'AcquireRequest.minimum_bytes',
    'more than is asked',
    () => unary('acquire', { ...acquire, minimumBytes: max }),
    bad,
    'minimum_bytes',
  ],
  [
    'AcquireRequest.wait_ms',
    'beyond the limit',
    () => unary('acquire', { ...acquire, waitMs: UINT32_MAX }),
    bad,
    'wait_ms',
  ],
  [
    'ReturnRequest.extent_ids',
    'unknown',
    () => unary('return', { extentIds: [max] }),
    'EXTENT_UNKNOWN',
    'extent_ids',
  ],
  [
    'AdoptRequest.extent_ids',
    '0',
    () => unary('adopt', { extentIds: ['0'], extentOrders: [0] }),
    bad,
    'extent_ids',
  ],
  [
    'AdoptRequest.extent_ids',
    'one twice',
    () => unary('adopt', { extentIds: ['1', '1'], extentOrders: [0, 0] }),
    bad,
    'extent_ids',
  ],
  [
    'AdoptRequest.extent_orders',
    'too few',
    () => unary('adopt', { extentIds: ['1', '2'], extentOrders: [0] }),
    bad,
    'extent_orders',
  ],
  [
    'AdoptRequest.extent_orders',
    '10',
    () => unary('adopt', { extentIds: ['1'], extentOrders: [10] }),
    bad,
    'extent_orders',
  ],
  ['ExchangeRequest.request_id', '0', () => onStream({ acquire }, '0'), bad, 'request_id'],
  ['ExchangeRequest.acquire', 'empty', () => onStream({ acquire: {} }), bad, 'grant_id'],
  [
    'ExchangeRequest.return',
    'unknown',
    () => onStream({ return: { extentIds: ['7'] } }),
    'EXTENT_UNKNOWN',
    'extent_ids',
  ],
  ['ExchangeRequest.cancel', 'empty', () => onStream({ cancel: {} }), bad, 'grant_id'],
  [
    'ExchangeRequest.reclaim_report',
    'empty',
    () => onStream({ reclaimReport: {} }),
    bad,
    'reclaim_id',
  ],
  ['CancelRequest.grant_id', '0', () => onStream({ cancel: { grantId: '0' } }), bad, 'grant_id'],
  [
    'ReclaimReport.reclaim_id',
    '0',
    () => onStream({ reclaimReport: { reclaimId: '0' } }),
    bad,
    'reclaim_id',
  ],
  [
    'ListCachesRequest.session_id',
    'unknown',
    () => call(daemon.clients.admin, 'listCaches', { sessionId: max }),
    'SESSION_UNKNOWN',
    '',
  ],
  [
    'EvictSessionRequest.session_id',
    'unknown',
    () => call(daemon.operator, 'evictSession', { sessionId: max }),
    'SESSION_UNKNOWN',
    'session_id',
  ],
  ['SetTenantRequest.name', 'none', () => setTenant({}, { name: '' }), 'TENANT_UNKNOWN', 'name'],
  [
    'SetTenantRequest.revision',
    'the largest',
    () => setTenant({}, { revision: max }),
    'REVISION_STALE',
    'revision',
  ],
  [
    'SetTenantRequest.entitlement',
    'none',
    () => setTenant({}, { entitlement: null }),
    bad,
    'entitlement',
  ],
  ...promiseRows({ unary, onStream, cacheId: () => cacheId }),
  ...(['guaranteed_bytes', 'limit_bytes', 'weight'] as const).flatMap((name): Row[] =>
    (name === 'weight' ? [0, UINT32_MAX] : ['1', max]).map(value => {
      const key = name.replace(/_b/, 'B');
      return [
        `TenantEntitlement.${name}`,
        String(value),
        () => setTenant({ [key]: value }),
        bad,
        name,
      ];
    }),
  ),
];

const setTenant = (change: object, more: object = {}) => {
  const entitlement = { guaranteedBytes: '0', limitBytes: '2097152', weight: 1, held: false };
  const request = { name: 'default', revision: '1', entitlement: { ...entitlement, ...change } };
  return call(daemon.operator, 'setTenant', { ...request, ...more });
};

const unaryCreate = (request: object) =>
  call(daemon.clients.memory, 'createCache', request, withToken(token));

/** Fields for which every value is in range. */
const anything: Record<string, string> = {
  'TenantEntitlement.held': 'yes or no',
  'UpdatePromiseRequest.left_bytes': 'of a promise there is none here; test/core has its range',
  'EvictSessionRequest.kill': 'yes or no',
  'ReclaimReport.returned_bytes': 'for the log: what counts is what was returned',
};

test.each(rows)('%s = %s is refused', async (_, __, send, code, named) => {
  const before = JSON.stringify(snapshot());
  const error = await refusal(send());
  expect({ code: error.code, field: error.field, message: error.message }).toMatchObject({
    code,
    field: named,
  });
  expect(error.message.length).toBeGreaterThan(10);
  expect(JSON.stringify(snapshot())).toBe(before);
});

const show = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? String(value) : value;

function snapshot(): unknown {
  const { refusedCount: _, ...pool } = daemon.ledger.pool();
  return JSON.parse(
    JSON.stringify(
      [pool, daemon.ledger.sessions(), daemon.ledger.caches(null), daemon.ledger.tenants()],
      show,
    ),
  );
}

describe('the table', () => {
  interface Described {
    readonly type: { readonly field: readonly { readonly name: string }[] };
  }
  const requests = ['CacheGeometry', 'CancelRequest', 'ReclaimReport', 'TenantEntitlement'];

  test('has every field of every request', () => {
    const all = Object.entries(loadReflectedPackage())
      .map(([name, definition]) => [name.replace('kvspan.v1.', ''), definition] as const)
      .filter(([name]) => name.endsWith('Request') || requests.includes(name))
      .flatMap(([name, definition]) =>
        (definition as unknown as Described).type.field.map(field => `${name}.${field.name}`),
      );
    const covered = new Set([...rows.map(([field]) => field), ...Object.keys(anything)]);
    expect(all.length).toBeGreaterThan(25);
    expect(all.filter(field => !covered.has(field))).toEqual([]);
  });
});
