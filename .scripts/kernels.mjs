// Compiles the attention kernels (kernels/cuda/device) to fatbins in build/kernels, where there is an
// nvcc: in PATH, in CUDA_HOME, or the one that `npm run kernels` fetches into build/nvcc. A machine
// without one builds and runs everything else.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { mtime, must, newest, root, run } from './lib.mjs';

const OUT = 'build/kernels';
const STAMP = `${OUT}/.complete`;
const DEVICE = 'kernels/cuda/device';
const FETCHED = join(root, 'build/nvcc');
/** Newer compilers emit PTX that a driver for CUDA 13.0 does not load. */
const PACKAGES = ['cuda-nvcc', 'cuda-crt', 'cuda-runtime', 'cuda-cccl', 'nvvm'].map(
  name => `nvidia-${name}==13.0.*`,
);
const NVCC_OLDEST = [12, 4];

// The binary of 8.0 runs on all of 8.x; what is newer than Hopper compiles the PTX when it loads it.
const PORTABLE = [
  '-gencode=arch=compute_80,code=[sm_80,compute_80]',
  '-gencode=arch=compute_90,code=sm_90',
];
const HOPPER = ['-gencode=arch=compute_90a,code=sm_90a'];
const DTYPES = ['bf16', 'fp16'];

/** Each source, its targets and the head dimensions that it is compiled for. */
const KERNELS = [
  { source: 'append', targets: PORTABLE, headDims: [64, 128, 256] },
  { source: 'decode', targets: PORTABLE, headDims: [64, 128, 256] },
  { source: 'prefill', targets: PORTABLE, headDims: [64, 128, 256] },
  { source: 'prefill_sm90', targets: HOPPER, headDims: [64, 128] },
];

/** The path of an nvcc that will do, or null. */
export function findNvcc(env = process.env) {
  const homes = [env.CUDA_HOME, env.CUDA_PATH].filter(Boolean).map(home => join(home, 'bin'));
  const places = [...homes, ...(env.PATH ?? '').split(delimiter)].map(folder =>
    join(folder, 'nvcc'),
  );
  places.push(join(FETCHED, 'nvidia/cu13/bin/nvcc'));
  return places.find(place => existsSync(place) && isNewEnough(place)) ?? null;
}

function isNewEnough(nvcc) {
  try {
    const text = execFileSync(nvcc, ['--version'], { encoding: 'utf8', stdio: 'pipe' });
    const [, major, minor] = /release (\d+)\.(\d+)/.exec(text) ?? [];
    return (
      Number(major) > NVCC_OLDEST[0] ||
      (Number(major) === NVCC_OLDEST[0] && Number(minor) >= NVCC_OLDEST[1])
    );
  } catch {
    return false;
  }
}

function jobs() {
  const all = [{ name: 'read', source: 'read', targets: PORTABLE, defines: [] }];
  for (const { source, targets, headDims } of KERNELS) {
    for (const dtype of DTYPES) {
      for (const headDim of headDims) {
        const defines = [`-DKVSPAN_DTYPE_${dtype.toUpperCase()}`, `-DKVSPAN_HEAD_DIM=${headDim}`];
        all.push({ name: `${source}_${dtype}_d${headDim}`, source, targets, defines });
      }
    }
  }
  return all;
}

async function compile(nvcc, { name, source, targets, defines }) {
  const output = join(root, OUT, `${name}.fatbin`);
  const args = [
    '-std=c++20',
    '-O3',
    '-fatbin',
    '-Xfatbin',
    '-compress-all',
    ...targets,
    ...defines,
  ];
  return await run(nvcc, [...args, '-o', output, join(root, DEVICE, `${source}.cu`)]);
}

/** Runs the jobs, as many at once as there are processors, until one fails: the outputs of those. */
async function compileAll(nvcc) {
  const waiting = jobs();
  const failures = [];
  const worker = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const { status, output } = await compile(nvcc, job);
      if (status === 0) continue;
      failures.push(`${job.name}: ${output}`);
      waiting.length = 0;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return failures;
}

const isSource = path => /\.(cu|cuh|hpp)$/.test(path);

export const upToDate = () => mtime(STAMP) >= newest(['kernels/cuda'], isSource);

/**
 * Compiles what is due. Without an nvcc, or if it fails, the kernels are missing and nothing else is:
 * said once, and false.
 */
export async function kernels(report) {
  if (upToDate()) return true;
  const nvcc = findNvcc();
  if (nvcc === null) return false;
  report(`compiling the attention kernels with ${nvcc}`);
  mkdirSync(join(root, OUT), { recursive: true });
  const failures = await compileAll(nvcc);
  if (failures.length > 0) {
    process.stderr.write(`${failures.join('\n')}\nkvspan: the attention kernels did not compile\n`);
    return false;
  }
  writeFileSync(join(root, STAMP), '');
  return true;
}

/** Fetches an nvcc from PyPI, 200 MB, if there is none. */
export async function fetchNvcc(report) {
  if (findNvcc() !== null) return;
  report('fetching nvcc');
  const args = ['-m', 'pip', 'install', '--quiet', '--upgrade', '--target', FETCHED, ...PACKAGES];
  await must('fetching nvcc', 'python3', args, {
    hint: 'It needs python3 with pip; or install a CUDA toolkit and set CUDA_HOME.',
  });
}

const say = line => process.stderr.write(`kvspan: ${line} ...\n`);
if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (!upToDate()) await fetchNvcc(say);
  process.exitCode = (await kernels(say)) ? 0 : 1;
}
