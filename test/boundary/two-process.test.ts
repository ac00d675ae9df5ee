import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runChild } from './support.js';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'kvspan-two-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a server and a session in two processes', () => {
  test('connect, grant 300 extents, map, write, read, give back, kill -9, exited', async () => {
    const path = join(folder, 'extents.sock');
    const server = runChild('server', [path]);
    await server.messages.until(m => m['kind'] === 'listening');
    expect(statSync(path).mode & 0o777).toBe(0o600);

    const client = runChild('client', [path]);
    const welcome = await client.messages.until(m => m['kind'] === 'welcome');
    expect(welcome).toEqual({
      kind: 'welcome',
      sessionId: '77',
      token: Array(32).fill(5),
      servicePath: '/the/service',
    });
    const { peer } = (await server.messages.until(m => m['kind'] === 'hello')) as {
      peer: Record<string, unknown>;
    };
    expect(peer).toMatchObject({
      pid: client.process.pid,
      uid: process.getuid?.(),
      name: 'two-process client',
    });

    server.process.send({ kind: 'grant', connection: peer['connection'], grant: 3, count: 300 });
    const outcome = await server.messages.until(m => m['kind'] === 'outcome');
    expect(outcome).toEqual({ kind: 'outcome', importedCount: 300, failure: null });
    const granted = await client.messages.until(m => m['kind'] === 'granted');
    expect(granted).toEqual({
      kind: 'granted',
      grantId: '3',
      importedCount: 300,
      failure: null,
      heldCount: 300,
    });

    const used = await client.messages.until(m => m['kind'] === 'used');
    expect(used).toMatchObject({ mismatches: 0, sameAttention: true, slotCount: 32 });
    expect(BigInt(used['givenBytes'] as string)).toBeGreaterThanOrEqual(64n * 1024n * 1024n);
    expect(used['heldCount']).toBe(300 - (used['returnedCount'] as number));
    expect(used['returnedCount']).toBe(
      Number(BigInt(used['givenBytes'] as string) / (2n * 1024n * 1024n)),
    );

    client.process.kill('SIGKILL');
    await server.messages.until(
      m => m['kind'] === 'exited' && m['connection'] === peer['connection'],
    );
    const kinds = server.messages.events.map(m => m['kind']);
    expect(kinds.indexOf('closed')).toBeLessThan(kinds.indexOf('exited'));
    expect(kinds.indexOf('closed')).toBeGreaterThan(0);

    server.process.send({ kind: 'close' });
    expect(await server.finished).toMatchObject({ code: 0, signal: null, output: '' });
    expect((await client.finished).signal).toBe('SIGKILL');
  });
});
