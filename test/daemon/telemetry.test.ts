import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { describe, expect, test } from 'vitest';
import { StartupError } from '../../daemon/exit-codes.js';
import { createLogger } from '../../daemon/telemetry/log.js';
import { KvspanError } from '../../proto/errors.js';
import { temporaryFolder, withToken } from './harness.js';

function capture(logFormat: 'json' | 'pretty' = 'json') {
  const lines: string[] = [];
  const target = { write: (line: string) => void lines.push(line) };
  // As pino has it: the tests write what the daemon's own type does not let it write.
  const log = createLogger(
    { logLevel: 'trace', logFile: null, logFormat },
    target,
  ) as unknown as Logger;
  return { log, lines };
}

const token = randomBytes(32);
/** Every way in which the bytes could be read out of a text. */
const spellings = [
  token.toString('hex'),
  token.toString('base64'),
  token.toString('base64url'),
  token.toString('latin1'),
  [...token].join(','),
  [...token.subarray(0, 6)].join(','),
];

describe.each(['json', 'pretty'] as const)('a token in a %s log', format => {
  test.each<[string, (log: ReturnType<typeof capture>['log']) => void]>([
    ['as bytes', log => log.info({ bytes: token }, 'x')],
    ['under its name', log => log.info({ token: token.toString('hex') }, 'x')],
    [
      'deep inside',
      log =>
        log.info(
          { session: { peer: { Token: [...token], sessionToken: token.toString('base64') } } },
          'x',
        ),
    ],
    ['as metadata', log => log.info({ metadata: withToken(token).getMap() }, 'x')],
    ['bound to a child', log => log.child({ token: token.toString('hex') }).info('x')],
    [
      "in an error's cause",
      log => log.error({ err: new Error('x', { cause: { token: [...token] } }) }, 'x'),
    ],
    ['in an array', log => log.info({ list: [token, { secret: token.toString('hex') }] }, 'x')],
  ])('%s is not written', (_, write) => {
    const { log, lines } = capture(format);
    write(log);
    expect(lines).toHaveLength(1);
    for (const spelling of spellings) expect(lines[0]).not.toContain(spelling);
  });
});

describe('a line', () => {
  test('has ISO time, level, component, and bigints as text', () => {
    const { log, lines } = capture();
    log.child({ component: 'service', session: 7n }).info({ bytes: 2n ** 63n }, 'granted');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      component: 'service',
      session: '7',
      bytes: '9223372036854775808',
      msg: 'granted',
    });
    expect(JSON.parse(lines[0] ?? '')).toHaveProperty(
      'time',
      expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    );
  });

  test('of a refusal has its code and no stack, of a fault its stack', () => {
    const { log, lines } = capture();
    log.warn({ err: new KvspanError('CACHE_UNKNOWN', 'no cache 7') }, 'x');
    log.error({ err: new TypeError('oops') }, 'x');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ err: { code: 'CACHE_UNKNOWN' } });
    expect(lines[0]).not.toContain('stack');
    expect(lines[1]).toContain('telemetry.test.ts');
  });

  test('survives what refers to itself', () => {
    const { log, lines } = capture();
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    log.info({ err: loop }, 'x');
    expect(lines[0]).toContain('[deep]');
  });

  test('is readable by people when asked', () => {
    const { log, lines } = capture('pretty');
    log
      .child({ component: 'service' })
      .info({ pid: 7, reason: 'the peer closed' }, 'session closed');
    expect(lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} info {2}service: session closed pid=7 reason="the peer closed"\n$/,
    );
  });
});

describe('the destination', () => {
  test('is a file if one is named', () => {
    const folder = temporaryFolder();
    const logFile = join(folder.path, 'log');
    createLogger({ logLevel: 'info', logFile, logFormat: 'json' }).info({}, 'here');
    expect(readFileSync(logFile, 'utf8')).toContain('"msg":"here"');
    folder.remove();
  });

  test('that is full costs lines, not the daemon', () => {
    const log = createLogger({ logLevel: 'info', logFile: '/dev/full', logFormat: 'json' });
    const many = () => {
      for (let line = 0; line < 2_000; line += 1) log.info({ reason: 'x'.repeat(1_000) }, 'lost');
    };
    expect(many).not.toThrow();
  });

  test('that cannot be written is refused with its own exit code', () => {
    expect(() =>
      createLogger({ logLevel: 'info', logFile: '/nowhere/at/all', logFormat: 'json' }),
    ).toThrow(expect.objectContaining({ name: 'StartupError', exitCode: 4 }));
    expect(StartupError.name).toBe('StartupError');
  });
});
