/** A real browser, headless. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = [
  process.env['KVSPAN_CHROMIUM'] ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const found = PLACES.find(path => path !== '' && existsSync(path));

/** Null if there is a browser; otherwise why the page is not tested. */
export const whyNoBrowser: string | null =
  found === undefined
    ? 'no Chromium (Debian and Ubuntu: apt-get install chromium; or KVSPAN_CHROMIUM)'
    : null;

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: found ?? '',
    timeout: 120_000,
    args: [
      // As root there is no sandbox, and in a test there is nothing to keep out of it.
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
