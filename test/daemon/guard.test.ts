import { noObserver } from '../../daemon/ports/observer.js';
import { Metadata } from '@grpc/grpc-js';
import { describe, expect, test } from 'vitest';
import { systemRandom } from '../../daemon/ports/tokens.js';
import { guardUnary } from '../../daemon/service/guard.js';
import { createLogger } from '../../daemon/telemetry/log.js';
import { KvspanError } from '../../proto/errors.js';

describe('the guard', () => {
  const lines: string[] = [];
  const log = createLogger(
    { logLevel: 'trace', logFile: null, logFormat: 'json' },
    { write: line => void lines.push(line) },
  );
  const guard = { log, random: systemRandom, observer: noObserver };
  type Failure = { code: number; details: string };

  async function answerOf(handler: () => unknown): Promise<Failure> {
    return new Promise(resolve => {
      guardUnary(
        'Test',
        guard,
        handler,
      )({ metadata: new Metadata() } as never, error => resolve(error as Failure));
    });
  }

  test.each([
    [
      'throws',
      () => {
        throw new TypeError('secret detail');
      },
    ],
    ['rejects', () => Promise.reject(new TypeError('secret detail'))],
    ['rejects with no error', () => Promise.reject('secret detail')],
  ])(
    'turns a handler that %s into an incident: the caller gets its id, the log the fault',
    async (_, handler) => {
      lines.length = 0;
      const failure = await answerOf(handler);
      expect(failure.code).toBe(13);
      expect(failure.details).not.toContain('secret detail');
      const incident = /incident ([0-9a-f]+)/.exec(failure.details)?.[1] ?? 'none';
      expect(lines.find(line => line.includes(incident))).toContain('secret detail');
    },
  );

  test('turns a refusal that cannot be written into INTERNAL', async () => {
    const impossible = new KvspanError('POOL_EXHAUSTED', 'x', { askedBytes: -1n });
    expect(
      await answerOf(() => {
        throw impossible;
      }),
    ).toMatchObject({ code: 13 });
  });
});
