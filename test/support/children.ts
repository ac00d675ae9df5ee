/** Scripts that tests run as processes of their own, from the compiled output. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = new URL('../..', import.meta.url).pathname;

/** Where the TypeScript was compiled to; `npm run build` writes build/ts. */
const outputFolder = process.env['KVSPAN_TEST_JS'] ?? join(root, 'build/ts');

/** `name`: path of a source without its extension, from the repository's root. */
export function childScript(name: string): string {
  const places = [join(root, `${name}.js`), join(outputFolder, `${name}.js`)];
  const found = places.find(existsSync);
  if (found === undefined)
    throw new Error(`${name} is not compiled; looked for ${places.join(', ')}; run npm run build`);
  return found;
}
