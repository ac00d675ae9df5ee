/**
 * The cuda backend over the stand-in driver, named to everyone the way a user would: by the
 * environment, which daemons and clients of these tests inherit.
 */
import { existsSync } from 'node:fs';
import { afterAll, afterEach } from 'vitest';
import type { Overrides } from '../../daemon/main.js';
import { standIn } from '../native/programs.js';

export const library = standIn('plain');

/** Settings of the stand-in (test/native/standin/README.md). */
type Setting = 'BYTES' | 'SHARED' | 'SERIAL' | 'LACKS';

/** Call it once in a test file, before anything else. */
export function useStandIn(): void {
  if (!existsSync(library)) throw new Error(`${library} is not built: run npm test`);
  process.env['KVSPAN_CUDA_LIBRARY'] = library;
  afterEach(() => {
    for (const name of Object.keys(process.env))
      if (name.startsWith('KVSPAN_STANDIN_')) delete process.env[name];
  });
  afterAll(() => {
    delete process.env['KVSPAN_CUDA_LIBRARY'];
  });
}

/** For the rest of the test, in this process and in those that it starts from now on. */
export function setStandIn(setting: Setting, value: string): void {
  process.env[`KVSPAN_STANDIN_${setting}`] = value;
}

export const onCuda = (more: Overrides = {}): Overrides => ({
  backend: 'cuda',
  poolBytes: '64MiB',
  ...more,
});
