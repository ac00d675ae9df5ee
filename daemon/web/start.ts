/** Metrics and live page of one daemon, from its configuration. */
import { unlinkSync, writeFileSync } from 'node:fs';
import { version } from '../../proto/version.js';
import { WEB_ADDRESS_DEFAULT, type Config } from '../config/schema.js';
import type { Ledger } from '../core/ledger.js';
import { systemClock } from '../ports/clock.js';
import type { DeviceDescription } from '../ports/device.js';
import type { Logger } from '../telemetry/log.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { SocketPaths } from '../transport/socket-directory.js';
import { loadAssets } from './assets.js';
import { History } from './history.js';
import { startWebServer, type WebAddress, type WebServer } from './server.js';
import { cachesOf, past, snapshot, toJson, type StateSource } from './state.js';

export interface WebParts {
  readonly config: Pick<Config, 'webAddress' | 'page'>;
  readonly paths: SocketPaths;
  readonly ledger: Ledger;
  readonly device: DeviceDescription;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Null: it is off. Throws a StartupError if the address that was asked for cannot be had. */
export async function startWeb(parts: WebParts): Promise<WebServer | null> {
  const wanted = addressOf(parts.config);
  if (wanted === null) return null;
  const log = parts.log.child({ component: 'web' });
  const { ledger, device, metrics, config } = parts;
  metrics.measureProcess();
  const history = new History(ledger, systemClock);
  const source: StateSource = { ledger, device, history, clock: systemClock, version };
  const server = await startWebServer(
    wanted,
    {
      assets: config.page ? loadAssets() : new Map(),
      pageServed: config.page,
      metrics: async () => ({ type: metrics.contentType, text: await metrics.text() }),
      data: (path, query) => dataOf(source, path, query),
    },
    log,
  );
  if (config.page) history.start();
  if (server.pageUrl !== null) tellOwner(parts.paths.page, server.pageUrl);
  // Nobody asked for another port: whoever scrapes the usual one looks at somebody else.
  const moved = wanted.byDefault && server.address !== WEB_ADDRESS_DEFAULT;
  const why = moved ? `: ${WEB_ADDRESS_DEFAULT} was taken` : '';
  log.info({ path: server.address }, `metrics and live page${why}`);
  return {
    ...server,
    close: async () => {
      history.stop();
      forget(parts.paths.page);
      await server.close();
    },
  };
}

function addressOf({ webAddress }: Pick<Config, 'webAddress'>): WebAddress | null {
  if (webAddress === 'off') return null;
  if (webAddress !== null) return { ...webAddress, byDefault: false };
  const [host = '', port] = WEB_ADDRESS_DEFAULT.split(':');
  return { host, port: Number(port), byDefault: true };
}

function dataOf(source: StateSource, path: string, query: URLSearchParams): string | null {
  if (path === 'snapshot') return toJson(snapshot(source));
  if (path === 'history') return toJson(past(source));
  const session = query.get('session') ?? '';
  if (path === 'caches' && /^[0-9]{1,19}$/.test(session))
    return toJson(cachesOf(source, BigInt(session)));
  return null;
}

/** The directory is the owner's, and so is the file: whoever may change the daemon may see it. */
function tellOwner(path: string, url: string): void {
  forget(path);
  writeFileSync(path, `${url}\n`, { mode: 0o600, flag: 'wx' });
}

function forget(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
