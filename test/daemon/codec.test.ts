import { loadSync, type Options } from '@grpc/proto-loader';
import * as fc from 'fast-check';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  decodeUint32,
  decodeUint64,
  decodeUint64s,
  encodeUint32,
  encodeUint64,
  encodeUint64s,
  UINT32_MAX,
  UINT64_MAX,
} from '../../proto/codec.js';
import {
  decodeGeometry,
  decodePlan,
  encodeGeometry,
  encodePlan,
  type CacheGeometry,
} from '../../proto/domain.js';
import { errorTable, KvspanError, type ErrorCode } from '../../proto/errors.js';
import { loadPackage, loadReflectedPackage } from '../../proto/load.js';
import {
  decodeRefusal,
  encodeRefusal,
  errorOfCall,
  serialiseRefusal,
} from '../../proto/refusal.js';

const u64 = fc.bigInt({ min: 0n, max: UINT64_MAX });
const u32 = fc.integer({ min: 0, max: UINT32_MAX });
const { ReturnRequest, PlaceCacheRequest, Refusal } = loadPackage();

function refusalOf(action: () => unknown): KvspanError {
  try {
    action();
  } catch (error) {
    if (error instanceof KvspanError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

const wrapped = (value: unknown) =>
  PlaceCacheRequest.deserialize(PlaceCacheRequest.serialize({ cacheId: value as string })).cacheId;

describe('what proto-loader does by itself', () => {
  test.each([
    ['-1', '18446744073709551615'],
    ['18446744073709551616', '0'],
    ['abc', '0'],
    [3.7, '3'],
    [-1, '0'],
  ])('%s silently becomes %s', (given, arrives) => {
    expect(wrapped(given)).toBe(arrives);
  });
});

describe('64-bit fields', () => {
  test('any u64 survives the wire, alone and packed in a list', () => {
    fc.assert(
      fc.property(fc.array(u64, { maxLength: 40 }), values => {
        const sent = ReturnRequest.serialize({ extentIds: encodeUint64s(values, 'extent_ids') });
        expect(decodeUint64s(ReturnRequest.deserialize(sent).extentIds, 'extent_ids')).toEqual(
          values,
        );
        for (const value of values) expect(decodeUint64(encodeUint64(value, 'x'), 'x')).toBe(value);
      }),
    );
  });

  test('nothing outside u64 is encoded', () => {
    const outside = fc.oneof(fc.bigInt({ max: -1n }), fc.bigInt({ min: UINT64_MAX + 1n }));
    fc.assert(
      fc.property(outside, value => {
        expect(refusalOf(() => encodeUint64(value, 'limit_bytes'))).toMatchObject({
          code: 'INVALID_ARGUMENT',
          field: 'limit_bytes',
        });
        expect(refusalOf(() => decodeUint64(value.toString(), 'limit_bytes')).field).toBe(
          'limit_bytes',
        );
      }),
    );
  });

  test.each([-1n, UINT64_MAX + 1n, 3.7, Number.NaN, Infinity, '5', 'abc', null, undefined, {}])(
    '%s is refused on the way out',
    value => {
      const error = refusalOf(() => encodeUint64(value as bigint, 'minimum_bytes'));
      expect(error.field).toBe('minimum_bytes');
      expect(error.message).toContain('18446744073709551615');
    },
  );

  test.each([
    '-1',
    '18446744073709551616',
    '',
    ' 1',
    '01',
    '1.0',
    '0x10',
    '1e3',
    'abc',
    '٣',
    3.7,
    -1,
    Number.NaN,
    2 ** 53,
    null,
    undefined,
    {},
  ])('%s is refused on the way in', value => {
    expect(refusalOf(() => decodeUint64(value as string, 'grant_id'))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'grant_id',
    });
  });

  test('a bad entry of a list is named by its index', () => {
    expect(refusalOf(() => encodeUint64s([1n, -2n], 'extent_ids')).field).toBe('extent_ids[1]');
    expect(refusalOf(() => decodeUint64s(['1', '2', 'x'], 'extent_ids')).field).toBe(
      'extent_ids[2]',
    );
    expect(refusalOf(() => decodeUint64s(undefined, 'extent_ids')).field).toBe('extent_ids');
  });
});

describe('32-bit fields', () => {
  test('any u32 passes', () => {
    fc.assert(
      fc.property(u32, value => {
        expect(decodeUint32(encodeUint32(value, 'x'), 'x')).toBe(value);
      }),
    );
  });

  test.each([-1, UINT32_MAX + 1, 0.5, Number.NaN, Infinity, '5', null, undefined])(
    '%s is refused',
    value => {
      expect(refusalOf(() => encodeUint32(value as number, 'wait_ms')).field).toBe('wait_ms');
    },
  );
});

describe('nouns', () => {
  const geometry: fc.Arbitrary<CacheGeometry> = fc.record({
    layout: fc.constantFrom('token-major', 'layer-major', 'latent'),
    layers: u32,
    kvHeads: u32,
    headDim: u32,
    dtype: fc.constantFrom('bf16', 'fp16', 'fp32', 'fp8-e4m3', 'fp8-e5m2'),
    slots: u32,
    maxTokens: u32,
  });
  const plan = fc.record({
    baseAddress: u64,
    totalBytes: u64,
    laneCount: u32,
    rowBytes: u64,
    slotStrideBytes: u64,
    laneStrideBytes: u64,
  });
  const { CacheGeometry, CachePlan } = loadPackage();

  test('geometry and plan survive the wire', () => {
    fc.assert(
      fc.property(geometry, plan, (g, p) => {
        expect(
          decodeGeometry(CacheGeometry.deserialize(CacheGeometry.serialize(encodeGeometry(g)))),
        ).toEqual(g);
        expect(decodePlan(CachePlan.deserialize(CachePlan.serialize(encodePlan(p))))).toEqual(p);
      }),
    );
  });

  test('a missing, unspecified or unknown enum is refused by name', () => {
    const good = encodeGeometry({
      layout: 'latent',
      layers: 1,
      kvHeads: 1,
      headDim: 1,
      dtype: 'bf16',
      slots: 1,
      maxTokens: 1,
    });
    const arrives = (change: object) =>
      CacheGeometry.deserialize(CacheGeometry.serialize({ ...good, ...change }));
    expect(refusalOf(() => decodeGeometry(null)).field).toBe('geometry');
    expect(refusalOf(() => decodeGeometry(arrives({ layout: 0 }))).field).toBe('geometry.layout');
    expect(refusalOf(() => decodeGeometry(arrives({ layout: 77 }))).message).toContain('77');
    expect(refusalOf(() => decodeGeometry(arrives({ dtype: 99 }))).field).toBe('geometry.dtype');
  });
});

describe('refusals', () => {
  const codes = Object.keys(errorTable) as ErrorCode[];
  const error = fc.record({
    code: fc.constantFrom(...codes),
    message: fc.string(),
    field: fc.string(),
    askedBytes: u64,
    freeBytes: u64,
    limitBytes: u64,
    holders: fc.array(fc.record({ sessionId: u64, pid: u32, heldBytes: u64 }), { maxLength: 16 }),
  });

  test('every code, number and holder survives the wire', () => {
    fc.assert(
      fc.property(error, ({ code, message, ...detail }) => {
        const sent = new KvspanError(code, message, detail);
        const arrived = decodeRefusal(Refusal.deserialize(Refusal.serialize(encodeRefusal(sent))));
        expect(arrived).toMatchObject({ code, message, ...detail });
        expect(arrived.retryable).toBe(sent.retryable);
      }),
    );
  });

  test('of more bytes than a field holds says as much as it can', () => {
    const sent = new KvspanError('ADDRESS_PLAN_EXHAUSTED', 'x', { askedBytes: 2n ** 80n });
    expect(
      decodeRefusal(Refusal.deserialize(Refusal.serialize(encodeRefusal(sent)))).askedBytes,
    ).toBe(UINT64_MAX);
  });

  test('a code of a newer daemon keeps its text', () => {
    const wire = Refusal.deserialize(Refusal.serialize({ code: 'MOON_PHASE', message: 'waning' }));
    expect(decodeRefusal(wire)).toMatchObject({ code: 'PROTOCOL', message: 'MOON_PHASE: waning' });
  });

  test('a failed call carries its refusal; without one the status speaks', async () => {
    const { Metadata } = await import('@grpc/grpc-js');
    const metadata = new Metadata();
    metadata.set(
      'kvspan-refusal-bin',
      serialiseRefusal(new KvspanError('CACHE_UNKNOWN', 'no cache 7')),
    );
    expect(errorOfCall({ code: 5, details: '', metadata })).toMatchObject({
      code: 'CACHE_UNKNOWN',
      message: 'no cache 7',
    });
    expect(errorOfCall({ code: 14, details: 'connect ENOENT' }).code).toBe('DAEMON_UNAVAILABLE');
    metadata.set('kvspan-refusal-bin', Buffer.from([0xff, 0xff]));
    expect(errorOfCall({ code: 5, details: '', metadata }).code).toBe('PROTOCOL');
  });
});

test('the embedded descriptors speak the same wire as the .proto files', () => {
  const folder = join(import.meta.dirname, '../../proto');
  const options: Options = {
    includeDirs: [folder],
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  };
  const fromFiles = loadSync('kvspan/v1/memory.proto', options)[
    'kvspan.v1.ReturnRequest'
  ] as typeof ReturnRequest;
  const message = { extentIds: ['1', '18446744073709551615'] };
  expect(ReturnRequest.serialize(message)).toEqual(fromFiles.serialize(message));
  expect(Object.keys(loadReflectedPackage())).toContain('kvspan.v1.AdminService');
});
