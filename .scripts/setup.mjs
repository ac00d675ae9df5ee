// Makes a fresh clone runnable: dependencies, the native addon, the attention kernels where there is an
// nvcc, the TypeScript build. Does only
// what is due, so that a second run costs almost nothing. `npm run build`.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { kernels } from './kernels.mjs';
import { bin, mtime, must, newest, root, touch } from './lib.mjs';

const NODE_OLDEST = [20, 19];
export const COMPILER_HINT =
  'kvspan builds a small C++20 addon: it needs cmake 3.20 or later, make or ninja, ' +
  'and g++ 12 / clang 15 or later\n' +
  '(Debian and Ubuntu: apt-get install cmake g++ make).';

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_OLDEST[0] || (major === NODE_OLDEST[0] && minor >= NODE_OLDEST[1])) return;
  process.stderr.write(
    `kvspan: needs Node ${NODE_OLDEST.join('.')} or later, this is ${process.versions.node}\n`,
  );
  process.exit(1);
}

async function dependencies(say) {
  if (mtime('node_modules/.package-lock.json') >= mtime('package-lock.json')) return;
  say('installing dependencies');
  // Not `npm ci`: it refuses a lock file without the binaries of other platforms, which some
  // registries do not carry. This too installs what the lock file says, and leaves it as it is.
  await must('npm install', 'npm', [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ]);
}

const NATIVE_FOLDERS = ['native', 'kernels/cpu', 'kernels/cuda'];
export const isNativeSource = path => /\.(c|h|cpp|hpp|cuh|map|txt|json)$/.test(path);

/** The addon and, with `tests`, the native test programs beside it. */
export async function native(say, { tests = false } = {}) {
  const binary = tests ? 'build/native/kvspan-native-tests' : 'build/native/Release/kvspan.node';
  const folders = [...NATIVE_FOLDERS, ...(tests ? ['test/native', 'test/kernels/gpu'] : [])];
  if (mtime(binary) >= newest(folders, isNativeSource)) return;
  say(`building the native core${tests ? ' and its tests' : ''}`);
  // The tests are always configured, since cmake-js configures a folder only once; without `tests`
  // the addon alone is built.
  const args = ['build', '-d', 'native', '-O', `${root}/build/native`, '--parallel', '2'];
  const target = tests ? [] : ['--target', 'kvspan'];
  await must('the native build', bin('cmake-js'), [...args, '--CDKVSPAN_TESTS=ON', ...target], {
    hint: COMPILER_HINT,
  });
  touch(binary);
}

/** The test programs alone, under a sanitizer; no addon, so plain cmake will do. */
export async function sanitized(say, sanitizer) {
  const out = `build/native-${sanitizer.split(',')[0]}`;
  const binary = `${out}/kvspan-native-tests`;
  if (mtime(binary) >= newest([...NATIVE_FOLDERS, 'test/native'], isNativeSource)) return;
  say(`building the native tests with the ${sanitizer} sanitizer`);
  const defines = ['-DKVSPAN_TESTS=ON', `-DKVSPAN_SANITIZE=${sanitizer}`];
  await must('the configuration', 'cmake', ['-S', 'native', '-B', out, ...defines], {
    hint: COMPILER_HINT,
  });
  await must('the native build', 'cmake', ['--build', out, '--parallel', '2'], {
    hint: COMPILER_HINT,
  });
  touch(binary);
}

/** Compiled from nothing each time: it takes a second, and deleted sources leave nothing behind. */
async function typescript(say) {
  const stamp = 'build/ts/.complete';
  const folders = ['proto', 'daemon', 'native', 'client', 'kernels', 'test', 'bench'];
  const sources = newest([...folders, 'tsconfig.json', 'package.json'], path =>
    /\.(ts|json)$/.test(path),
  );
  if (mtime(stamp) >= sources) return;
  say('compiling TypeScript');
  rmSync(join(root, 'build/ts'), { recursive: true, force: true });
  await must('the TypeScript build', bin('tsc'), ['-p', 'tsconfig.json']);
  writeFileSync(join(root, stamp), '');
}

export async function setup({ quiet = false, tests = false } = {}) {
  const say = quiet ? () => {} : line => process.stderr.write(`kvspan: ${line} ...\n`);
  checkNode();
  await dependencies(say);
  await native(say, { tests });
  await kernels(say);
  await typescript(say);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await setup();
