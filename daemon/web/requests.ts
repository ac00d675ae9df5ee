/** Who may see what. Everything here only reads. */
import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { KvspanError } from '../../proto/errors.js';
import type { Asset } from './assets.js';

export interface Site {
  /** What the page's data costs: whoever knows it. */
  readonly token: string;
  /** Its name. Browsers keep cookies by host, whatever the port: each daemon has its own. */
  readonly cookie: string;
  /** `host:port` as a browser of this machine writes it; any other is somebody's rebinding. */
  readonly hosts: ReadonlySet<string> | null;
  readonly assets: ReadonlyMap<string, Asset>;
  /** False: no page and no data, only metrics. */
  readonly pageServed: boolean;
  metrics(): Promise<{ readonly type: string; readonly text: string }>;
  /** By path, as JSON text; null: there is no such thing. */
  data(path: string, query: URLSearchParams): string | null;
}

/** Nothing from elsewhere, nothing inline, in nobody's frame. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cache-control': 'no-store',
} as const;

const BASE = 'http://daemon';
const NO_TOKEN =
  'This page is for the user that runs the daemon: `kvspan page` prints its address, with the token.\n';

export async function handle(
  site: Site,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return end(response, 405, 'text/plain', 'only GET\n', { allow: 'GET, HEAD' });
  const host = request.headers.host ?? '';
  if (site.hosts !== null && !site.hosts.has(host))
    return end(response, 421, 'text/plain', `not the address of this daemon: ${text(host)}\n`);
  const target = request.url ?? '/';
  if (!URL.canParse(target, BASE)) return end(response, 400, 'text/plain', 'no address\n');
  const url = new URL(target, BASE);
  if (url.pathname === '/healthz') return end(response, 200, 'text/plain', 'ok\n');
  if (url.pathname === '/metrics') {
    const { type, text: body } = await site.metrics();
    return end(response, 200, type, body);
  }
  if (!site.pageServed) return end(response, 404, 'text/plain', 'not here\n');
  page(site, request, response, url);
}

function page(site: Site, request: IncomingMessage, response: ServerResponse, url: URL): void {
  const { pathname, searchParams } = url;
  const offered = searchParams.get('token');
  if (pathname === '/' && offered !== null) {
    if (!same(offered, site.token)) return end(response, 401, 'text/plain', NO_TOKEN);
    // Out of the address line, where it would be seen, kept and passed on.
    const cookie = `${site.cookie}=${site.token}; HttpOnly; SameSite=Strict; Path=/`;
    return end(response, 303, 'text/plain', '', { location: '/', 'set-cookie': cookie });
  }
  const known = knows(request, site);
  if (pathname === '/' && !known) return end(response, 401, 'text/plain', NO_TOKEN);
  const asset = site.assets.get(pathname);
  if (asset !== undefined) return end(response, 200, asset.type, asset.body);
  if (!pathname.startsWith('/api/')) return end(response, 404, 'text/plain', 'not here\n');
  if (!known) return end(response, 401, 'text/plain', NO_TOKEN);
  answer(site, response, pathname.slice('/api/'.length), searchParams);
}

function answer(site: Site, response: ServerResponse, path: string, query: URLSearchParams): void {
  try {
    const body = site.data(path, query);
    if (body === null) end(response, 404, 'text/plain', 'not here\n');
    else end(response, 200, 'application/json', body);
  } catch (error) {
    if (!(error instanceof KvspanError)) throw error;
    const status = error.code === 'SESSION_UNKNOWN' ? 404 : 400;
    end(response, status, 'text/plain', `${error.code}: ${error.message}\n`);
  }
}

/** The cookie of a browser, or a header of a script. */
function knows(request: IncomingMessage, { token, cookie }: Site): boolean {
  const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return same(bearer, token);
  return (request.headers.cookie ?? '')
    .split(/; */)
    .some(pair => pair.startsWith(`${cookie}=`) && same(pair.slice(cookie.length + 1), token));
}

function same(offered: string, token: string): boolean {
  const [left, right] = [Buffer.from(offered), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** What somebody sent is shown back to them, but never as anything else than text. */
const text = (value: string): string => value.replace(/[^\x20-\x7e]/g, '?').slice(0, 100);

export function end(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  more: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...PAGE_HEADERS, 'content-type': type, ...more });
  response.end(body);
}
