import { afterEach, describe, expect, test, vi } from 'vitest';

const source = '../../native/index.js';
const errors = '../../proto/errors.js';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.resetModules();
});

describe('the loader', () => {
  test('KVSPAN_ADDON goes before every other place', async () => {
    const { findBinary } = (await import(source)) as typeof import('../../native/index.js');
    expect(findBinary({ KVSPAN_ADDON: '/somewhere/kvspan.node' })).toBe('/somewhere/kvspan.node');
  });

  test('a binary that cannot be loaded is DEVICE_UNAVAILABLE and names the path', async () => {
    vi.stubEnv('KVSPAN_ADDON', '/no/such/kvspan.node');
    vi.resetModules();
    const { loadNative } = (await import(source)) as typeof import('../../native/index.js');
    const { KvspanError } = (await import(errors)) as typeof import('../../proto/errors.js');
    expect(() => loadNative()).toThrow(KvspanError);
    expect(() => loadNative()).toThrow('/no/such/kvspan.node');
  });

  test('a second instance of the module raises errors of its own class', async () => {
    for (let i = 0; i < 2; i++) {
      vi.resetModules();
      const { loadNative } = (await import(source)) as typeof import('../../native/index.js');
      const { KvspanError } = (await import(errors)) as typeof import('../../proto/errors.js');
      const device = loadNative().openDevice({ backend: 'host', ordinal: 0, library: null });
      device.close();
      let error: unknown;
      try {
        device.describe();
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(KvspanError);
      expect((error as Error).cause).not.toBeInstanceOf(KvspanError);
    }
  });

  test('the module is loaded once', async () => {
    const { loadNative } = (await import(source)) as typeof import('../../native/index.js');
    expect(loadNative()).toBe(loadNative());
    expect(loadNative().napiVersion).toBe(8);
  });

  test('a device that cannot be opened is DEVICE_UNAVAILABLE', async () => {
    const { loadNative } = (await import(source)) as typeof import('../../native/index.js');
    const options = { backend: 'cuda', ordinal: 0, library: '/no/such/libcuda.so.1' } as const;
    expect(() => loadNative().openDevice(options)).toThrow('/no/such/libcuda.so.1');
  });
});
