/** The HTTP server: its address, its start and its end. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { StartupError } from '../exit-codes.js';
import type { Logger } from '../telemetry/log.js';
import { end, handle, type Site } from './requests.js';

/** What the configuration says. */
export interface WebAddress {
  readonly host: string;
  readonly port: number;
  /** Nobody asked for this port: any other will do if it is taken. */
  readonly byDefault: boolean;
}

export interface WebServer {
  /** `host:port` as it is, whatever was asked for. */
  readonly address: string;
  /** With the token in it; null where no page is served. */
  readonly pageUrl: string | null;
  close(): Promise<void>;
}

const TOKEN_BYTES = 24;
/** A scraper and a few pages; each connection is idle but for a request a second. */
const CONNECTIONS_MAX = 64;
const REQUEST_MS_MAX = 10_000;
const SILENCE_MS_MAX = 10_000;
const HEADERS_BYTES_MAX = 8 * 1024;

export async function startWebServer(
  wanted: WebAddress,
  site: Omit<Site, 'token' | 'cookie' | 'hosts'>,
  log: Logger,
): Promise<WebServer> {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  let complete: Site = { ...site, token, cookie: '', hosts: new Set() };
  const server = createServer({ maxHeaderSize: HEADERS_BYTES_MAX }, (request, response) => {
    handle(complete, request, response).catch((error: unknown) => {
      log.error({ err: error }, 'a web request met a fault');
      if (!response.headersSent) end(response, 500, 'text/plain', 'internal error\n');
      else response.destroy();
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  server.requestTimeout = REQUEST_MS_MAX;
  // Who does not read the answer either would keep one of few connections for ever.
  server.timeout = SILENCE_MS_MAX;
  await listen(server, wanted);
  const { address, port, family } = server.address() as AddressInfo;
  const host = family === 'IPv6' ? `[${address}]` : address;
  const cookie = `kvspan-token-${port}`;
  complete = { ...complete, cookie, hosts: hostsOf(address, host, port) };
  return {
    address: `${host}:${port}`,
    pageUrl: site.pageServed ? `http://${host}:${port}/?token=${token}` : null,
    close: () => close(server),
  };
}

/** On loopback only its own names; on any other address names are the operator's affair. */
function hostsOf(address: string, host: string, port: number): ReadonlySet<string> | null {
  const loopback = address === '::1' || address.startsWith('127.');
  return loopback ? new Set([`${host}:${port}`, `localhost:${port}`]) : null;
}

async function listen(server: Server, { host, port, byDefault }: WebAddress): Promise<void> {
  try {
    await bound(server, host, port);
  } catch (error) {
    if (byDefault && (error as NodeJS.ErrnoException).code === 'EADDRINUSE')
      return bound(server, host, 0);
    throw new StartupError(
      'permission',
      `webAddress ${host}:${port}: ${(error as Error).message}`,
      'give another --web-address, or --web-address off',
      error,
    );
  }
}

function bound(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
