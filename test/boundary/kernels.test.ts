/** What opening the attention kernels says where they cannot run, and where their files are sought. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KvspanError } from '../../proto/errors.js';
import { findKernels, loadNative } from '../../native/index.js';
import { standIn } from '../native/programs.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvspan-kernels-'));
  writeFileSync(join(folder, 'read.fatbin'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

function refusal(library: string | null, from: string): KvspanError {
  try {
    loadNative().openKernels({ ordinal: 0, library, folder: from }).close();
  } catch (error) {
    if (error instanceof KvspanError) return error;
    throw error;
  }
  throw new Error('opened');
}

describe('opening the kernels', () => {
  test('without the fatbins is DEVICE_UNAVAILABLE, names the folder and says how to build them', () => {
    const error = refusal(standIn('plain'), '/no/such/kernels');
    expect(error.code).toBe('DEVICE_UNAVAILABLE');
    expect(error.message).toContain('/no/such/kernels');
    expect(error.message).toContain('npm run kernels');
  });

  test('with a library that is no driver is DEVICE_UNAVAILABLE and names a function', () => {
    const error = refusal('libm.so.6', folder);
    expect(error.code).toBe('DEVICE_UNAVAILABLE');
    expect(error.message).toMatch(/libm\.so\.6.* cu[A-Z]/);
  });

  test('with a driver that is not there is DEVICE_UNAVAILABLE and names the library', () => {
    const error = refusal('/no/such/libcuda.so.1', folder);
    expect(error.code).toBe('DEVICE_UNAVAILABLE');
    expect(error.message).toContain('/no/such/libcuda.so.1');
  });

  test('KVSPAN_KERNELS names the folder before every other place', () => {
    expect(findKernels({ KVSPAN_KERNELS: '/somewhere/kernels' })).toBe('/somewhere/kernels');
  });
});
