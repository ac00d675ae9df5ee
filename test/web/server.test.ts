/** Metrics and the live page's data over HTTP: who may see what, and that it is what is so. */
import { readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { main } from '../../client/cli/main.js';
import type { Cache, Session } from '../../client/typescript/index.js';
import { serve, StartupError, type RunningDaemon } from '../../daemon/main.js';
import { connectTo, SMALL, TOKENS_PER_PAGE } from '../client/support.js';
import { PAGE, privateDirectory } from '../support/daemon.js';

const settings = (changed: object = {}) => ({
  socketDirectory: privateDirectory(),
  backend: 'host',
  poolBytes: '64MiB',
  logLevel: 'silent',
  shutdownTimeoutMs: 200,
  webAddress: '127.0.0.1:0',
  ...changed,
});

let daemon: RunningDaemon;
let session: Session;
let cache: Cache;
let base: string;
let token: string;

beforeAll(async () => {
  daemon = await serve(settings());
  session = await connectTo(daemon.info.sockets.directory, { name: 'engine' });
  cache = await session.createCache(SMALL);
  await cache.allocate(2 * TOKENS_PER_PAGE);
  base = `http://${daemon.info.web?.address}`;
  token = new URL(daemon.info.web?.pageUrl ?? '').searchParams.get('token') ?? '';
});
afterAll(async () => {
  await session.close();
  await daemon.stop();
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${base}${path}`, { headers, method, redirect: 'manual' });
const known = () => ({ authorization: `Bearer ${token}` });

async function metric(name: string): Promise<number> {
  const text = await (await get('/metrics')).text();
  const line = text.split('\n').find(one => one.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no ${name} in\n${text}`);
  return Number(line.slice(name.length + 1));
}

/** What no HTTP client would send as it is. */
function raw(request: string): Promise<string> {
  const [host, port] = (daemon.info.web?.address ?? '').split(':');
  return new Promise((resolve, reject) => {
    const client = connect(Number(port), host, () => client.write(request));
    client.once('data', data => {
      resolve(data.toString());
      client.destroy();
    });
    client.once('error', reject);
  });
}

describe('metrics', () => {
  it('are the books', async () => {
    expect(await metric('kvspan_pool_bytes')).toBe(64 * 2 ** 20);
    expect(await metric('kvspan_pool_used_bytes')).toBe(Number(session.stats().heldBytes));
    expect(await metric('kvspan_sessions')).toBe(1);
    const held = `kvspan_session_held_bytes{session="${session.id}",name="engine",tenant="default"}`;
    expect(await metric(held)).toBe(Number(session.stats().heldBytes));
  });

  it('count grants, refusals and what comes back', async () => {
    const names = ['kvspan_grants_total', 'kvspan_refusals_total{code="QUOTA_EXHAUSTED"}'];
    const before = await Promise.all(names.map(metric));
    const returned = await metric('kvspan_returned_bytes_total');
    await session.acquire([2]);
    await expect(session.acquire([32], { waitMs: 0 })).rejects.toMatchObject({
      code: 'QUOTA_EXHAUSTED',
    });
    await session.giveBack(2n * PAGE);
    expect(await Promise.all(names.map(metric))).toEqual(before.map(count => count + 1));
    expect(await metric('kvspan_grant_duration_seconds_count{outcome="refused"}')).toBe(1);
    expect(await metric('kvspan_grant_delivery_seconds_count')).toBeGreaterThan(1);
    await expect
      .poll(() => metric('kvspan_returned_bytes_total'))
      .toBe(returned + Number(2n * PAGE));
  });

  it('count a promise that is refused: who only reserves waits for memory, too', async () => {
    const counted = 'kvspan_refusals_total{code="QUOTA_EXHAUSTED"}';
    const before = await metric(counted);
    const first = await cache.reserve(SMALL.maxTokens);
    await expect(cache.reserve(SMALL.maxTokens, { waitMs: 0 })).rejects.toMatchObject({
      code: 'QUOTA_EXHAUSTED',
    });
    expect(await metric(counted)).toBe(before + 1);
    expect(await metric('kvspan_pool_promised_bytes')).toBe(Number(first.bytes));
    const waiting = cache.reserve(SMALL.maxTokens, { waitMs: 200 });
    await expect(waiting).rejects.toMatchObject({ code: 'QUOTA_EXHAUSTED' });
    expect(await metric(counted)).toBe(before + 2);
    first.release();
    await expect.poll(() => metric('kvspan_pool_promised_bytes')).toBe(0);
  });

  it('say how the process does, and need no token', async () => {
    expect(await metric('process_resident_memory_bytes')).toBeGreaterThan(2 ** 20);
    const answer = await get('/metrics');
    expect(answer.headers.get('content-type')).toContain('text/plain');
    expect(await (await get('/healthz')).text()).toBe('ok\n');
  });
});

describe('the page', () => {
  it('is for who has the token: out of the address, into a cookie', async () => {
    expect((await get('/')).status).toBe(401);
    expect((await get('/?token=x')).status).toBe(401);
    const opened = await get(`/?token=${token}`);
    expect([opened.status, opened.headers.get('location')]).toEqual([303, '/']);
    const cookie = opened.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict; Path=\/$/);
    const answer = await get('/', { cookie: cookie.split(';')[0] ?? '' });
    expect(await answer.text()).toContain('<title>kvspan</title>');
  });

  it('allows nothing from elsewhere and nothing inline, in nobody else’s frame', async () => {
    const { headers } = await get('/', known());
    const policy = headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await (await get('/', known())).text()).not.toMatch(/https?:|<style|style=|onclick/);
  });

  it.each(['/api/snapshot', '/api/history', '/api/caches?session=1'])(
    '%s is closed without it',
    async path => {
      expect((await get(path)).status).toBe(401);
      expect((await get(path, { authorization: 'Bearer wrong' })).status).toBe(401);
      expect(
        (await get(path, { cookie: `kvspan-token-${new URL(base).port}=wrong; other=1` })).status,
      ).toBe(401);
    },
  );

  it('has the data of the books', async () => {
    const state = (await (await get('/api/snapshot', known())).json()) as Record<string, never>;
    expect(state).toMatchObject({
      pool: { poolBytes: 64 * 2 ** 20, usedBytes: Number(session.stats().heldBytes) },
      sessions: [{ id: Number(session.id), name: 'engine', pid: process.pid }],
      tenants: [{ name: 'default' }],
    });
    const caches = await get(`/api/caches?session=${session.id}`, known());
    expect(await caches.json()).toMatchObject({
      caches: [{ geometry: { layers: 4 }, plan: { baseAddress: Number(cache.plan.baseAddress) } }],
    });
    const { samples } = (await (await get('/api/history', known())).json()) as {
      samples: unknown[];
    };
    expect(samples.length).toBeGreaterThan(0);
  });

  it.each([
    ['/api/caches?session=999999', 404],
    ['/api/caches?session=x', 404],
    ['/api/nothing', 404],
    ['/../etc/passwd', 404],
    ['/assets/../../../etc/passwd', 404],
  ])('%s is refused', async (path, status) => {
    expect((await get(path, known())).status).toBe(status);
  });

  it.each(['POST', 'PUT', 'DELETE'])('%s is refused: it only reads', async method => {
    expect((await get('/api/snapshot', known(), method)).status).toBe(405);
  });

  it('is not served under a foreign name', async () => {
    const answer = await raw(`GET /?token=${token} HTTP/1.1\r\nHost: evil.example\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 421 /);
    expect(answer).not.toContain('set-cookie');
  });

  it.each(['//', 'http://[', '/\\\\:x'])(
    'the address %s, which is none, is the fault of who sent it',
    async target => {
      const { host } = new URL(base);
      const answer = await raw(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
      expect(answer).toMatch(/^HTTP\/1\.1 40[04] /);
    },
  );

  it('of two daemons of one machine may be open in one browser', async () => {
    const other = await serve(settings());
    const cookies = await Promise.all(
      [daemon, other].map(async ({ info }) => {
        const opened = await fetch(info.web?.pageUrl ?? '', { redirect: 'manual' });
        return (opened.headers.get('set-cookie') ?? '').split(/[=;]/, 1)[0];
      }),
    );
    await other.stop();
    // A browser keeps cookies by host, whatever the port.
    expect(new Set(cookies).size).toBe(2);
  });

  it('tells its address to the owner alone, by a file and by `kvspan page`', async () => {
    const { directory } = daemon.info.sockets;
    const file = join(directory, 'page.url');
    expect(readFileSync(file, 'utf8')).toBe(`${daemon.info.web?.pageUrl}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await main(['page', '--socket-directory', directory])).toBe(0);
    expect(await main(['page', '--socket-directory', '/nowhere'])).toBe(69);
  });
});

describe('the address', () => {
  const started: RunningDaemon[] = [];
  let taken: Server | null = null;
  afterEach(async () => {
    await Promise.all(started.splice(0).map(one => one.stop()));
    taken?.close();
  });
  const start = async (changed: object) => {
    const one = await serve(settings(changed));
    started.push(one);
    return one;
  };
  const takePort = async (): Promise<number> => {
    taken = createServer();
    await new Promise<void>(resolve => taken?.listen(0, '127.0.0.1', resolve));
    return (taken.address() as AddressInfo).port;
  };

  it('may be off, and then nothing is there', async () => {
    const one = await start({ webAddress: 'off' });
    expect(one.info.web).toBeNull();
  });

  it('may be without a page', async () => {
    const one = await start({ page: 'false' });
    expect(one.info.web?.pageUrl).toBeNull();
    const url = `http://${one.info.web?.address}`;
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    expect((await fetch(`${url}/`)).status).toBe(404);
  });

  it('is another one if nobody asked for it and it is taken', async () => {
    const [one, two] = [await start({ webAddress: null }), await start({ webAddress: null })];
    expect(one.info.web?.address).not.toBe(two.info.web?.address);
  });

  it('that was asked for and is taken ends the start, with what to do', async () => {
    const port = await takePort();
    const failure = await start({ webAddress: `127.0.0.1:${port}` }).catch(
      (error: unknown) => error,
    );
    expect(failure).toBeInstanceOf(StartupError);
    expect(failure).toMatchObject({
      message: expect.stringContaining(`webAddress 127.0.0.1:${port}`),
    });
  });

  it('goes with the daemon: the port is free and the file gone', async () => {
    const one = await serve(settings());
    const { address } = one.info.web ?? { address: '' };
    await one.stop();
    await expect(fetch(`http://${address}/healthz`)).rejects.toThrow('fetch failed');
    expect(() => statSync(join(one.info.sockets.directory, 'page.url'))).toThrow('ENOENT');
  });
});
