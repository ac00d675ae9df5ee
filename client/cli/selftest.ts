/**
 * `kvspan selftest`: runs the device contract suite; with `--kernels`, the tests of the attention
 * kernels. Both are native programs beside the addon.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findKernels } from '../../native/index.js';

/** In the bundle, beside the addon; in a checkout, in the native build of the tests. */
const folders = ['../..', '../../../native'];

const KERNELS = '--kernels';

export async function spawnSelftest(argv: string[]): Promise<number> {
  const kernels = argv.includes(KERNELS);
  const name = kernels ? 'kvspan-kerneltest' : 'kvspan-selftest';
  const program = folders
    .map(folder => fileURLToPath(new URL(`${folder}/${name}`, import.meta.url)))
    .find(existsSync);
  if (program === undefined) {
    process.stderr.write(
      `kvspan selftest: ${name} is not built (npm test builds it; the bundle carries it)\n`,
    );
    return 1;
  }
  const rest = argv.filter(arg => arg !== KERNELS);
  const args = kernels ? ['--folder', findKernels(), ...rest] : rest;
  const child = spawn(program, args, { stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => resolve(code ?? 1));
  });
}
