/** The live page in a real browser, beside serving processes that work. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AdminClient } from '../../client/typescript/index.js';
import { createLogger } from '../../daemon/telemetry/log.js';
import { loadAssets } from '../../daemon/web/assets.js';
import { startWebServer } from '../../daemon/web/server.js';
import { serve, type RunningDaemon } from '../../daemon/main.js';
import { childScript } from '../support/children.js';
import { privateDirectory } from '../support/daemon.js';
import { until } from '../support/until.js';
import { TOKENS_PER_PAGE } from '../client/support.js';
import { launch, whyNoBrowser } from './browser.js';

const LOOK_MS = 60_000;
const MANY_SESSIONS = 1_000;
const MANY_EXTENTS = 100_000;

let browser: Browser;
let page: Page;
/** What went wrong inside the browser; must stay empty. */
let complaints: string[];

const usedOnPage = () => page.locator('#figures').getAttribute('data-used-bytes');

describe.skipIf(whyNoBrowser !== null)(
  `the live page${whyNoBrowser === null ? '' : `: ${whyNoBrowser}`}`,
  () => {
    beforeAll(async () => {
      browser = await launch();
    });
    afterAll(async () => browser.close());
    beforeEach(async () => {
      page = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
      page.setDefaultTimeout(LOOK_MS);
      complaints = [];
      page.on('pageerror', error => complaints.push(error.message));
      page.on('console', message => {
        if (message.type() === 'error') complaints.push(message.text());
      });
    });
    afterEach(async () => page.close());

    describe('of a daemon at work', () => {
      let daemon: RunningDaemon;
      let admin: AdminClient;
      const children: ChildProcess[] = [];

      beforeAll(async () => {
        const socketDirectory = privateDirectory();
        daemon = await serve({
          socketDirectory,
          backend: 'host',
          poolBytes: '256MiB',
          logLevel: 'silent',
          shutdownTimeoutMs: 200,
          webAddress: '127.0.0.1:0',
          tenants: [
            { name: 'chat', clients: ['chat'], guaranteed: '64MiB' },
            { name: 'batch', clients: ['batch'] },
          ],
        });
        admin = new AdminClient({ socketDirectory });
      });
      afterAll(async () => {
        for (const child of children) child.kill('SIGKILL');
        admin.close();
        await daemon.stop();
      });
      const serving = async (name: string, slots: number): Promise<ChildProcess> => {
        const order = { directory: daemon.info.sockets.directory, name, slots, idle: 0 };
        const script = childScript('test/client/children/holder');
        const child = fork(script, [JSON.stringify({ ...order, tokens: 4 * TOKENS_PER_PAGE })]);
        children.push(child);
        await once(child, 'message');
        return child;
      };
      const open = async () => page.goto(daemon.info.web?.pageUrl ?? '');

      it('shows the bytes of the admin service while they change', async () => {
        await open();
        expect(new URL(page.url()).search).toBe('');
        const agree = () =>
          until(
            'page and admin service agree',
            async () => (await usedOnPage()) === String((await admin.pool()).usedBytes),
            LOOK_MS,
          );
        await agree();
        expect(await usedOnPage()).toBe('0');
        const nobody = page.locator('#no-sessions');
        expect(await nobody.isVisible()).toBe(true);
        await serving('chat', 3);
        const batch = await serving('batch', 6);
        await agree();
        expect(Number(await usedOnPage())).toBeGreaterThan(60 * 2 ** 20);
        const held = (await admin.sessions()).map(session => session.name).toSorted();
        expect(held).toEqual(['batch', 'chat']);
        expect((await page.locator('#session-rows tr').allTextContents()).length).toBe(2);
        expect(await nobody.isHidden()).toBe(true);
        batch.kill('SIGKILL');
        await until('it has gone', async () => (await admin.sessions()).length === 1, LOOK_MS);
        await agree();
        await expect
          .poll(() => page.locator('#session-rows tr').count(), { timeout: LOOK_MS })
          .toBe(1);
        expect(complaints).toEqual([]);
      });

      it('shows the caches of a session to who uses the keyboard alone', async () => {
        await open();
        await page.locator('#session-rows button').first().waitFor();
        await page.keyboard.press('Tab');
        await page.keyboard.press('Enter');
        await page.keyboard.press('Tab');
        expect(
          await page.evaluate('document.activeElement.closest("#session-rows") !== null'),
        ).toBe(true);
        await page.keyboard.press('Enter');
        await page.locator('#cache-rows tr').waitFor();
        const [cache] = await admin.caches();
        const row = (await page.locator('#cache-rows tr').first().textContent()) ?? '';
        expect(row).toContain(`0x${cache?.plan.baseAddress.toString(16)}`);
        await page.keyboard.press('Escape');
        expect(await page.locator('#details').isHidden()).toBe(true);
        expect(complaints).toEqual([]);
      });

      it('is closed to who does not know the token', async () => {
        const stranger = await browser.newContext();
        const tab = await stranger.newPage();
        const answer = await tab.goto(`http://${daemon.info.web?.address}/`);
        expect(answer?.status()).toBe(401);
        expect(await tab.content()).toContain('kvspan page');
        await stranger.close();
      });
    });

    it(`shows ${MANY_SESSIONS} sessions with ${MANY_EXTENTS} extents, and goes on moving`, async () => {
      const site = {
        assets: loadAssets(),
        pageServed: true,
        metrics: () => Promise.resolve({ type: 'text/plain', text: '' }),
        data: (path: string) => JSON.stringify(path === 'history' ? { samples: [] } : crowd()),
      };
      const log = createLogger({ logLevel: 'silent', logFile: null, logFormat: 'json' });
      const server = await startWebServer(
        { host: '127.0.0.1', port: 0, byDefault: false },
        site,
        log,
      );
      await page.goto(server.pageUrl ?? '');
      await page
        .locator('#session-rows tr')
        .nth(MANY_SESSIONS - 1)
        .waitFor();
      const text = () => page.locator('#figures').textContent();
      const seen = new Set<string | null>();
      await until('three looks', async () => seen.add(await text()).size >= 3, LOOK_MS);
      const longest = await page.evaluate(
        'performance.measure && new Promise(done => { let last = performance.now(), worst = 0, n = 0;' +
          ' const tick = now => { worst = Math.max(worst, now - last); last = now;' +
          ' if (++n < 120) requestAnimationFrame(tick); else done(worst); }; requestAnimationFrame(tick); })',
      );
      process.stdout.write(
        `1,000 sessions: longest gap between frames ${Math.round(Number(longest))} ms\n`,
      );
      // A gap that a person takes for a page that hangs; a busy machine has its own of some 100 ms.
      expect(longest).toBeLessThan(2_000);
      expect(complaints).toEqual([]);
      await server.close();
    });
  },
);

let turn = 0;

/** What a daemon with very many sessions says; each time something else. */
function crowd(): unknown {
  turn += 1;
  const pageBytes = 2 ** 21;
  const sessions = Array.from({ length: MANY_SESSIONS }, (_, index) => {
    const extentCount = MANY_EXTENTS / MANY_SESSIONS + ((index + turn) % 7);
    return {
      id: index + 1,
      pid: 1000 + index,
      name: `engine ${index}`,
      tenant: index % 2 === 0 ? 'even' : 'odd',
      state: 'open',
      evicted: false,
      heldBytes: extentCount * pageBytes,
      limitBytes: 2 ** 40,
      extentCount,
      cacheCount: 1,
      waitingGrantCount: 0,
      overdueCount: 0,
      servedLast: false,
    };
  });
  const usedBytes = sessions.reduce((sum, { heldBytes }) => sum + heldBytes, 0) + turn;
  const poolBytes = 2 ** 38;
  const tenant = (name: string) => ({
    name,
    guaranteedBytes: 0,
    limitBytes: poolBytes,
    weight: 1,
    held: false,
    heldBytes: usedBytes / 2,
    borrowedBytes: usedBytes / 2,
    waitingGrantCount: 0,
  });
  return {
    at: Date.now(),
    version: 'x',
    sampleEveryMs: 200,
    device: { backend: 'host', name: 'x', driver: 'x' },
    pool: {
      poolBytes,
      usedBytes,
      freeBytes: poolBytes - usedBytes,
      promisedBytes: 0,
      extentCount: MANY_EXTENTS + turn,
      waitingGrantCount: 0,
      waitingBytes: 0,
    },
    tenants: [tenant('even'), tenant('odd')],
    sessions,
  };
}
