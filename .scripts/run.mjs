// `npm start`, `npm run demo`, ...: sets up what is missing, then becomes the command line.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from './lib.mjs';
import { setup } from './setup.mjs';

await setup();
const { main } = await import(pathToFileURL(join(root, 'build/ts/client/cli/main.js')).href);
process.exitCode = await main(process.argv.slice(2));
