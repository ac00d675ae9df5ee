// Makes a fresh clone runnable: dependencies, the native addon, the TypeScript build. Does only
// what is due, so that a second run costs almost nothing. `npm run build`.
import { pathToFileURL } from 'node:url';
import { bin, mtime, must, newest, root } from './lib.mjs';

const NODE_OLDEST = [20, 19];
const COMPILER_HINT =
  'kvspan builds a small C++20 addon: it needs cmake 3.20 or later, make or ninja, and g++ 12 / clang 15 or later\n' +
  '(Debian and Ubuntu: apt-get install cmake g++ make).';

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > NODE_OLDEST[0] || (major === NODE_OLDEST[0] && minor >= NODE_OLDEST[1])) return;
  process.stderr.write(`kvspan: needs Node ${NODE_OLDEST.join('.')} or later, this is ${process.versions.node}\n`);
  process.exit(1);
}

async function dependencies(say) {
  if (mtime('node_modules/.package-lock.json') >= mtime('package-lock.json')) return;
  say('installing dependencies');
  await must('npm ci', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}

/** The addon and, with `tests`, the native tests beside it. */
export async function native(say, { tests = false, sanitize = '' } = {}) {
  const out = sanitize ? `build/native-${sanitize.split(',')[0]}` : 'build/native';
  const binary = tests ? `${out}/Release/kvspan-native-tests` : `${out}/Release/kvspan.node`;
  const sources = newest(['native', 'kernels/cpu', ...(tests ? ['test/native'] : [])], path =>
    /\.(cpp|hpp|txt|json)$/.test(path),
  );
  if (mtime(binary) >= sources) return;
  say(`building the native core${tests ? ' and its tests' : ''}${sanitize ? ` (${sanitize} sanitizer)` : ''}`);
  const defines = [
    ...(tests ? ['--CDKVSPAN_TESTS=ON'] : []),
    ...(sanitize ? [`--CDKVSPAN_SANITIZE=${sanitize}`] : []),
  ];
  await must('the native build', bin('cmake-js'), ['compile', '-d', 'native', '-O', `${root}/${out}`, '--parallel', '2', ...defines], {
    hint: COMPILER_HINT,
  });
}

async function typescript(say) {
  const sources = newest(['proto', 'daemon', 'native', 'client', 'kernels', 'test', 'bench', 'tsconfig.json', 'package.json'], path =>
    /\.(ts|json)$/.test(path) && !path.includes('bench/results'),
  );
  if (mtime('build/ts/.tsbuildinfo') >= sources) return;
  say('compiling TypeScript');
  await must('the TypeScript build', bin('tsc'), ['-p', 'tsconfig.json']);
}

export async function setup({ quiet = false, tests = false } = {}) {
  const say = quiet ? () => {} : line => process.stderr.write(`kvspan: ${line} ...\n`);
  checkNode();
  await dependencies(say);
  await native(say, { tests });
  await typescript(say);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await setup();
