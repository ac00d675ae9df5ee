/** Fields of what is asked about promises, out of their range. */
import { UINT32_MAX, UINT64_MAX } from '../../proto/codec.js';
import type { ErrorCode } from '../../proto/errors.js';
import type { ExchangeRequest } from '../../proto/generated/kvspan/v1/ExchangeRequest.js';

export type Row = readonly [
  field: string,
  value: string,
  send: () => Promise<unknown>,
  code: ErrorCode,
  named: string,
];

export interface Asking {
  readonly unary: (
    method: 'acquire' | 'reserve' | 'updatePromise',
    request: object,
  ) => Promise<unknown>;
  readonly onStream: (request: Omit<ExchangeRequest, 'requestId'>) => Promise<unknown>;
  /** Of a cache of 64 tokens, which take one page. */
  readonly cacheId: () => string;
}

const max = UINT64_MAX.toString();
const bad = 'INVALID_ARGUMENT';

export const camel = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

export function promiseRows({ unary, onStream, cacheId }: Asking): Row[] {
  const reserve = (change: object) =>
    unary('reserve', {
      promiseId: '9',
      cacheId: cacheId(),
      tokensCount: 1,
      lapseMs: 1000,
      ...change,
    });
  const acquire = { grantId: '1', orderCounts: [1], promiseId: max };
  const outside: [string, (number | string)[]][] = [
    ['tokens_count', [0, 65, UINT32_MAX]],
    ['overread_tokens_count', [UINT32_MAX]],
    ['mapped_bytes', ['1', '2097152', max]],
    ['wait_ms', [UINT32_MAX]],
    ['lapse_ms', [0, UINT32_MAX]],
    ['promise_id', ['0']],
  ];
  return [
    ...outside.flatMap(([name, values]) =>
      values.map(
        (value): Row => [
          `ReserveRequest.${name}`,
          String(value),
          () => reserve({ [camel(name)]: value }),
          bad,
          name,
        ],
      ),
    ),
    [
      'ReserveRequest.cache_id',
      'unknown',
      () => reserve({ cacheId: max }),
      'CACHE_UNKNOWN',
      'cache_id',
    ],
    [
      'AcquireRequest.promise_id',
      'unknown',
      () => unary('acquire', acquire),
      'PROMISE_UNKNOWN',
      'promise_id',
    ],
    [
      'ExchangeRequest.reserve',
      'empty',
      () => onStream({ reserve: {} }),
      'CACHE_UNKNOWN',
      'cache_id',
    ],
    [
      'ExchangeRequest.promise',
      'unknown',
      () => onStream({ promise: { promiseId: '7' } }),
      'PROMISE_UNKNOWN',
      'promise_id',
    ],
    [
      'UpdatePromiseRequest.promise_id',
      '0',
      () => unary('updatePromise', {}),
      'PROMISE_UNKNOWN',
      'promise_id',
    ],
  ];
}
