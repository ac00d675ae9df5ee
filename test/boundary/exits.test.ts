/** How processes end with native threads running: on time, by their own exit code, never by a signal. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runChild } from './support.js';

let path: string;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kvspan-exits-'));
  path = join(folder, 'extents.sock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('dropped handles', () => {
  test('sessions dropped unclosed neither hang nor crash the process', async () => {
    const finished = await runChild('drop-session', [path], ['--expose-gc']).finished;
    expect(finished).toEqual({ code: 0, signal: null, output: 'dry\n' });
  });
});

describe('process.exit', () => {
  test('with every thread running ends by the code given', async () => {
    expect(await runChild('exit-with-threads', [path]).finished).toEqual({
      code: 3,
      signal: null,
      output: '',
    });
  });

  const work = [
    'allocate',
    'attend',
    'giveBack',
    'grant',
    'connect',
    'close',
    'destroyForever',
    'closeForever',
  ];
  test.each(work.flatMap(name => [0, 2].map(ms => [name, ms] as const)))(
    'in the middle of %s, after %i ms',
    async (name, ms) => {
      const finished = await runChild('exit-in-work', [path, name, String(ms)]).finished;
      expect(finished).toEqual({ code: 4, signal: null, output: '' });
    },
  );
});

describe('the event loop', () => {
  test('is not kept alive by an open session', async () => {
    expect(await runChild('keep-alive', [path, 'session']).finished).toEqual({
      code: 0,
      signal: null,
      output: '',
    });
  });

  test('is kept alive by a promise until it settles', async () => {
    expect((await runChild('keep-alive', [path, 'promise']).finished).output).toBe('settled\n');
  });

  test('is kept alive by an open server until it is closed', async () => {
    expect(await runChild('keep-alive', [path, 'server']).finished).toEqual({
      code: 0,
      signal: null,
      output: 'closed\n',
    });
  });

  test('sees what an event callback throws as an uncaught exception', async () => {
    expect((await runChild('throwing-callback', [path]).finished).output).toBe(
      'uncaught: from the callback\n',
    );
  });
});

describe('worker threads', () => {
  test('may be terminated with sessions and servers open and allocations under way', async () => {
    expect(await runChild('worker', [path]).finished).toEqual({
      code: 0,
      signal: null,
      output: 'all terminated\n',
    });
  });
});

describe('the hot path', () => {
  test('a step over 256 slots with nothing to do takes under 5 us, most of the time', async () => {
    const { output } = await runChild('step-latency', [path]).finished;
    const figures = JSON.parse(output) as { p50: number; outcomes: number[] };
    console.log(`step, 256 slots, nothing to do (us): ${output.trim()}`);
    expect(figures.outcomes).toEqual([100_000, 0, 0, 0]);
    expect(figures.p50).toBeLessThan(5);
  });
});
