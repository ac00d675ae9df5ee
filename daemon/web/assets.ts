/** The page's files, read once. They hold nothing of the daemon, so anybody may have them. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.js': 'text/javascript; charset=utf-8',
};

const here = dirname(fileURLToPath(import.meta.url));
/** Where a bundle has all of them, wherever in it this code has landed. */
const bundled = ['page', 'web/page', 'daemon/web/page'].map(folder => join(here, folder));
/** Elsewhere some are sources and some are output, and this file is one or the other. */
const plain = [...bundled, join(here, '../../../../daemon/web/page')];
const compiled = [...bundled, join(here, '../../build/ts/daemon/web/page')];

function first(folders: readonly string[], name: string): string {
  const found = folders.map(folder => join(folder, name)).find(path => existsSync(path));
  if (found === undefined) throw new Error(`${name} is in none of ${folders.join(', ')}`);
  return found;
}

/** In a bundle it lies beside the page; otherwise where npm has put it. */
function uplot(name: string): string {
  const beside = bundled.map(folder => join(folder, name)).find(path => existsSync(path));
  return beside ?? join(dirname(createRequire(import.meta.url).resolve('uplot')), name);
}

/** By path. Throws if the build is not whole: better at the start than for who opens the page. */
export function loadAssets(): ReadonlyMap<string, Asset> {
  const files: readonly (readonly [string, string])[] = [
    ['/', first(plain, 'index.html')],
    ['/assets/icon.svg', first(plain, 'icon.svg')],
    ['/assets/page.css', first(plain, 'page.css')],
    ...['page', 'memory-map', 'time-line', 'tables', 'format', 'data'].map(
      name => [`/assets/${name}.js`, first(compiled, `${name}.js`)] as const,
    ),
    ['/assets/uplot.js', uplot('uPlot.esm.js')],
    ['/assets/uplot.css', uplot('uPlot.min.css')],
  ];
  return new Map(
    files.map(([path, file]) => [
      path,
      { type: types[extname(file)] ?? 'text/plain', body: readFileSync(file) },
    ]),
  );
}
