// The Python package: its native library, a wheel that carries it, and a virtual environment to test it
// in. `npm run build:python` writes build/python/dist/kvspan-*.whl.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bin, mtime, must, newest, root, run, touch } from './lib.mjs';
import { COMPILER_HINT, isNativeSource } from './setup.mjs';

const LIBRARY = 'build/native/libkvspan.so';
const OUT = 'build/python';
const VENV = `${OUT}/venv`;
const REQUIREMENTS = 'test/python/requirements.txt';
/** What became of the last attempt: `{ python }`, or `{ skip }` with the reason. */
const STATE = `${OUT}/state.json`;

export const venvPython = join(root, VENV, 'bin/python');

/** A Python of 3.10 or later that can make virtual environments; null: there is none. */
function findPython() {
  const probe = 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))';
  const names = ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.10'];
  for (const name of [process.env.KVSPAN_PYTHON, ...names]) {
    if (!name) continue;
    try {
      execFileSync(name, ['-c', probe], { stdio: 'ignore' });
      return name;
    } catch {
      // Not there, too old, or without venv.
    }
  }
  return null;
}

async function library(say) {
  if (mtime(LIBRARY) >= newest(['native'], isNativeSource)) return;
  say('building libkvspan.so');
  const args = ['build', '-d', 'native', '-O', `${root}/build/native`, '--parallel', '2'];
  const target = ['--CDKVSPAN_TESTS=ON', '--target', 'kvspan_capi'];
  await must('the native build', bin('cmake-js'), [...args, ...target], { hint: COMPILER_HINT });
  touch(LIBRARY);
}

/** The environment that the requirements ask for; the reason, if it cannot be had. */
async function environment(say, python) {
  const stamp = `${VENV}/.complete`;
  const wanted = `${python}\n${readFileSync(join(root, REQUIREMENTS), 'utf8')}`;
  if (existsSync(join(root, stamp)) && readFileSync(join(root, stamp), 'utf8') === wanted)
    return null;
  say('making a Python environment for the tests');
  rmSync(join(root, VENV), { recursive: true, force: true });
  const made = await run(python, ['-m', 'venv', join(root, VENV)]);
  if (made.status !== 0)
    return `python cannot make a virtual environment: ${lastLine(made.output)}`;
  const quiet = ['--quiet', '--disable-pip-version-check'];
  const pip = ['-m', 'pip', 'install', ...quiet, '-r', REQUIREMENTS];
  const installed = await run(venvPython, pip);
  if (installed.status !== 0) return `pip cannot install them: ${lastLine(installed.output)}`;
  writeFileSync(join(root, stamp), wanted);
  return null;
}

const lastLine = output => output.trim().split('\n').at(-1);

const isPackageSource = path => /\.(py|pyi|toml|md|typed)$/.test(path);

/** The newest wheel, built anew if anything of it has changed. */
async function wheel(say) {
  const dist = `${OUT}/dist`;
  const stamp = `${dist}/.complete`;
  const sources = Math.max(newest(['client/python'], isPackageSource), mtime(LIBRARY));
  if (mtime(stamp) < sources) {
    say('building the Python wheel');
    rmSync(join(root, dist), { recursive: true, force: true });
    mkdirSync(join(root, dist), { recursive: true });
    const build = ['-m', 'hatchling', 'build', '-t', 'wheel', '-d', join(root, dist)];
    // Without debugging symbols: a tenth of the size.
    const stripped = join(root, OUT, 'libkvspan.so');
    await must('stripping', 'strip', ['--strip-unneeded', '-o', stripped, join(root, LIBRARY)]);
    const env = { ...process.env, KVSPAN_LIBRARY: stripped };
    await must('the wheel', venvPython, build, { cwd: join(root, 'client/python'), env });
    writeFileSync(join(root, stamp), '');
  }
  const name = readdirSync(join(root, dist)).find(file => file.endsWith('.whl'));
  return join(root, dist, name);
}

async function install(say, path) {
  const stamp = `${VENV}/.installed`;
  if (mtime(stamp) >= mtime(`${OUT}/dist/.complete`)) return;
  say('installing the wheel into the environment of the tests');
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps'];
  await must('the installation', venvPython, [...pip, '--force-reinstall', path]);
  writeFileSync(join(root, stamp), '');
}

/** Wheel and environment; `{ skip }` with the reason where there is no Python for it. */
export async function python(say) {
  mkdirSync(join(root, OUT), { recursive: true });
  const found = findPython();
  const reason =
    found === null
      ? 'no python3 of 3.10 or later with venv (Debian and Ubuntu: apt-get install python3-venv)'
      : await environment(say, found);
  const state = { skip: reason, wheel: null };
  if (reason === null) {
    await library(say);
    state.wheel = await wheel(say);
    await install(say, state.wheel);
  }
  writeFileSync(join(root, STATE), JSON.stringify(state));
  return state;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { skip, wheel: built } = await python(line =>
    process.stderr.write(`kvspan: ${line} ...\n`),
  );
  if (skip !== null) {
    process.stderr.write(`kvspan: the Python package cannot be built: ${skip}\n`);
    process.exit(1);
  }
  process.stdout.write(`${built}\n`);
}
