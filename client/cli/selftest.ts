/** `kvspan selftest`: runs the device contract suite, a native program beside the addon. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NAME = 'kvspan-selftest';
/** In the bundle, beside the addon; in a checkout, in the native build of the tests. */
const candidates = [`../../${NAME}`, `../../../native/${NAME}`];

export async function spawnSelftest(argv: string[]): Promise<number> {
  const program = candidates
    .map(path => fileURLToPath(new URL(path, import.meta.url)))
    .find(existsSync);
  if (program === undefined) {
    process.stderr.write(
      `kvspan selftest: ${NAME} is not built (npm test builds it; the bundle carries it)\n`,
    );
    return 1;
  }
  const child = spawn(program, argv, { stdio: 'inherit' });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => resolve(code ?? 1));
  });
}
