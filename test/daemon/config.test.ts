import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig, type Overrides } from '../../daemon/config/load.js';
import {
  optionKeys,
  envName,
  flagName,
  optionList,
  type ConfigKey,
} from '../../daemon/config/schema.js';
import { parseSize, resolveSize, showBytes } from '../../proto/size.js';
import { poolSize, sessionLimit } from '../../daemon/device/pool-size.js';
import { StartupError } from '../../daemon/exit-codes.js';
import type { DeviceDescription } from '../../daemon/ports/device.js';
import { version } from '../../proto/version.js';
import { PAGE, temporaryFolder } from './harness.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

function toml(text: string): string {
  const path = join(folder.path, 'kvspan.toml');
  writeFileSync(path, text);
  return path;
}

function startupError(action: () => unknown): StartupError {
  try {
    action();
  } catch (error) {
    if (error instanceof StartupError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('sizes', () => {
  test.each([
    ['4294967296', 4294967296n],
    ['512MiB', 512n << 20n],
    ['40GiB', 40n << 30n],
    ['1.5TiB', 3n << 39n],
    ['1 KiB', 1024n],
    ['0.5GiB', 1n << 29n],
    ['7B', 7n],
  ])('%s is %s bytes', (text, bytes) => expect(parseSize(text)).toEqual({ bytes }));

  test.each([
    ['80%', 80],
    ['0.5%', 0.5],
    ['100 %', 100],
  ])('%s is a share', (text, percent) => expect(parseSize(text)).toEqual({ percent }));

  test.each([
    '',
    '0',
    '0%',
    '101%',
    '-1',
    '-5GiB',
    '40GB',
    '40gib',
    '1.5',
    '1e9',
    'NaN',
    'GiB',
    '9223372036854775808',
    '1 2',
    '99999999TiB',
  ])('"%s" is no size', text => expect(parseSize(text)).toBeNull());

  test('a share of any whole stays exact in integers', () => {
    expect(resolveSize({ percent: 33.33 }, 10n ** 18n)).toBe(333300000000000000n);
    expect(showBytes(4n << 30n)).toBe('4.0 GiB');
    expect(showBytes(5n)).toBe('5 B');
  });
});

describe('precedence', () => {
  test('flags win over the environment, that over the file, that over the defaults', () => {
    const config = toml('sessionsMax = 1\ncachesPerSessionMax = 1\ngrantsInFlightMax = 1\n');
    const env = { KVSPAN_SESSIONS_MAX: '2', KVSPAN_CACHES_PER_SESSION_MAX: '2' };
    const loaded = loadConfig({ config, sessionsMax: 3 }, env);
    expect(loaded).toMatchObject({
      sessionsMax: 3,
      cachesPerSessionMax: 2,
      grantsInFlightMax: 1,
      extentsPerGrantMax: 16_384,
    });
  });

  test('the file can be named by the environment', () => {
    expect(loadConfig({}, { KVSPAN_CONFIG: toml('ordinal = 3') }).ordinal).toBe(3);
  });

  test('undefined flags and empty variables are absent', () => {
    expect(loadConfig({ sessionsMax: undefined }, { KVSPAN_SESSIONS_MAX: '' }).sessionsMax).toBe(
      256,
    );
  });

  test('the directory is where clients look for it', () => {
    expect(loadConfig({}, { KVSPAN_SOCKET_DIR: '/x/y' }).socketDirectory).toBe('/x/y');
  });
});

// Each key: what it takes and what it refuses.
const matrix: Record<
  Exclude<ConfigKey, 'tenants'>,
  { good: (string | number)[]; bad: (string | number)[] }
> = {
  socketDirectory: { good: ['/run/x'], bad: ['', 5] },
  socketGroup: { good: ['kv'], bad: ['', 5] },
  backend: { good: ['auto', 'host', 'cuda'], bad: ['', 'rocm', 1] },
  ordinal: { good: [0, '7', 255], bad: [-1, '256', 0.5, 'x'] },
  cudaLibrary: { good: ['/usr/lib/libcuda.so'], bad: ['', 1] },
  poolBytes: { good: ['40GiB', '80%', 4194304], bad: ['', '0', 'much', -1, 0.5, '40GB'] },
  sessionLimitBytes: { good: ['1GiB', '50%'], bad: ['0%', '101%', 'x'] },
  sessionsMax: { good: [1, '4096'], bad: [0, 4097, '1.5', 'x'] },
  cachesPerSessionMax: { good: [1, '65536'], bad: [0, '65537'] },
  grantsInFlightMax: { good: [1, '65536'], bad: [0, '65537'] },
  extentsPerGrantMax: { good: [1, '65536'], bad: [0, '65537'] },
  grantWaitMsMax: { good: [0, '2147483647'], bad: [-1, '2147483648'] },
  ackTimeoutMs: { good: [1, '2147483647'], bad: [0, '2147483648'] },
  helloTimeoutMs: { good: [1, '2147483647'], bad: [0, '2147483648'] },
  messageBytesMax: { good: [4096, '67108864'], bad: [4095, '67108865'] },
  requestsInFlightMax: { good: [1, '65536'], bad: [0, '65537'] },
  deviceCheckMs: { good: [0, '60000'], bad: [-1, 0.5, '2147483648'] },
  shutdownTimeoutMs: { good: [0, '2147483647'], bad: [-1, '2147483648'] },
  webAddress: {
    good: ['off', '127.0.0.1:0', '[::1]:9477', 'localhost:65535'],
    bad: ['', '9477', '127.0.0.1', '127.0.0.1:65536', '::1:9477', 9477],
  },
  page: { good: ['true', 'false'], bad: ['', 'yes', 1] },
  logLevel: { good: ['debug', 'silent'], bad: ['loud', 1] },
  logFile: { good: ['/var/log/kvspan'], bad: ['', 1] },
  logFormat: { good: ['json', 'pretty'], bad: ['xml'] },
};

describe.each(optionKeys)('%s', key => {
  const { good, bad } = matrix[key];

  test.each(good)('takes %s from a flag and the environment', value => {
    expect(loadConfig({ [key]: value }, {})[key]).not.toBeUndefined();
    expect(loadConfig({}, { [envName(key)]: String(value) })).toEqual(
      loadConfig({ [key]: String(value) }, {}),
    );
  });

  test.each(bad)('refuses %s, naming key, source, value and what is allowed', value => {
    const error = startupError(() => loadConfig({ [key]: value }, {}));
    expect(error.exitCode).toBe(2);
    expect(error.message).toContain(
      `flag ${flagName(key)}: ${key} is ${JSON.stringify(value)}, allowed: `,
    );
    const file = toml(`${key} = ${JSON.stringify(value)}\n`);
    expect(startupError(() => loadConfig({ config: file }, {})).message).toContain(
      `file ${file}: ${key} is`,
    );
  });

  test('has a help text', () => {
    const option = optionList.find(entry => entry.key === key);
    expect(option?.help.length).toBeGreaterThan(5);
    expect(option?.flag).toMatch(/^--[a-z-]+ <value>$/);
  });
});

const help = (key: string) => optionList.find(entry => entry.key === key)?.help;

test('the help of a setting says what is allowed, what is without it, and its variable', () => {
  expect(help('sessionsMax')).toMatch(/ \[1 \.\. 4096; default: 256; KVSPAN_SESSIONS_MAX\]$/);
  expect(help('backend')).toMatch(/ \[auto, host, cuda; default: auto; KVSPAN_BACKEND\]$/);
  expect(help('sessionLimitBytes')).toContain(' [default: 100%; ');
  expect(help('page')).toContain(' [true, false; default: true; ');
  expect(help('logFile')).toMatch(/ \[KVSPAN_LOG_FILE\]$/);
});

describe('unknown keys', () => {
  test('are refused with the nearest known one', () => {
    expect(startupError(() => loadConfig({ config: toml('poolByte = "1GiB"') }, {}))).toMatchObject(
      { hint: 'did you mean "poolBytes"?' },
    );
    expect(startupError(() => loadConfig({ sesionsMax: 1 } as Overrides, {})).hint).toContain(
      'sessionsMax',
    );
    expect(startupError(() => loadConfig({ config: toml('[zebra]\nx = 1') }, {})).hint).toContain(
      'known: ',
    );
  });

  test("a slip in a variable is refused, another program's variable is not", () => {
    expect(startupError(() => loadConfig({}, { KVSPAN_POOL_BYTE: '1GiB' })).hint).toContain(
      'KVSPAN_POOL_BYTES',
    );
    expect(loadConfig({}, { KVSPAN_DASHBOARD_COLOUR: 'red', KVSPAN_ADDON: '/x' }).ordinal).toBe(0);
  });
});

describe('the file', () => {
  test.each([
    ['= 1', 'kvspan.toml'],
    ['ordinal = ', 'kvspan.toml'],
  ])('%s is not TOML', (text, named) => {
    expect(startupError(() => loadConfig({ config: toml(text) }, {})).message).toContain(named);
  });

  test('one that is not there is said to be so', () => {
    expect(
      startupError(() => loadConfig({ config: '/nowhere/kvspan.toml' }, {})).message,
    ).toContain('ENOENT');
  });
});

describe('the pool', () => {
  const device: DeviceDescription = {
    backend: 'cuda',
    ordinal: 0,
    name: 'GPU',
    uuid: '',
    driver: '',
    granularityBytes: PAGE,
    totalBytes: 80n << 30n,
    freeBytes: 70n << 30n,
  };

  test("is nine tenths of a GPU's free memory, in whole pages", () => {
    expect(poolSize(null, device)).toBe((((70n << 30n) * 9n) / 10n / PAGE) * PAGE);
  });

  test('on the host backend is at most 4 GiB and at most a quarter of what is free', () => {
    expect(poolSize(null, { ...device, backend: 'host', freeBytes: 1n << 30n })).toBe(1n << 28n);
    expect(poolSize(null, { ...device, backend: 'host' })).toBeLessThanOrEqual(4n << 30n);
  });

  test('a share is one of the whole device', () => {
    expect(poolSize({ percent: 50 }, device)).toBe(40n << 30n);
  });

  test('larger than the device is refused with its own exit code and both sizes', () => {
    const error = startupError(() => poolSize({ bytes: 81n << 30n }, device));
    expect(error.exitCode).toBe(6);
    expect(error.message).toContain(String(81n << 30n));
    expect(error.message).toContain(String(80n << 30n));
  });

  test('less than a page is refused', () => {
    expect(startupError(() => poolSize({ bytes: PAGE - 1n }, device)).exitCode).toBe(2);
    expect(
      startupError(() => sessionLimit({ percent: 1 }, poolSize({ bytes: PAGE }, device))).exitCode,
    ).toBe(2);
  });

  test("bounds a session's limit", () => {
    const pool = poolSize({ bytes: 8n * PAGE }, device);
    expect(sessionLimit({ percent: 100 }, pool)).toBe(8n * PAGE);
    expect(sessionLimit({ bytes: 100n * PAGE }, pool)).toBe(8n * PAGE);
    expect(sessionLimit({ bytes: 3n * PAGE + 5n }, pool)).toBe(3n * PAGE);
  });
});

test("the version is the package's", () => {
  const text = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
  expect(version).toBe((JSON.parse(text) as { version: string }).version);
});
