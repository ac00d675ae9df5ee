import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    // A process per file: a fault in the addon ends one file's worker, not the run.
    pool: 'forks',
    // Two at a time, whatever the machine: latency-bound tests share the cores with their children.
    maxWorkers: 2,
    // A daemon that runs on this machine is nobody's business here.
    env: { KVSPAN_SOCKET_DIR: '/tmp/kvspan-tests-nobody-here' },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    sequence: { shuffle: false },
  },
});
