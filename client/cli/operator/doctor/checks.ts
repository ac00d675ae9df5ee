/** What `kvspan doctor` looks at. Each check says what it found and, if it is not well, what to do. */
import { accessSync, constants, existsSync, lstatSync, readFileSync, readdirSync } from 'node:fs';
import { findKernels, loadNative } from '../../../../native/index.js';
import type { DeviceDescription } from '../../../../native/native.js';
import { KvspanError } from '../../../../proto/errors.js';
import { defaultCudaLibrary } from '../../../../proto/paths.js';
import { showBytes } from '../../../../proto/size.js';
import { version } from '../../../../proto/version.js';
import { AdminClient } from '../../../typescript/admin.js';

export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'note' | 'bad';
  readonly found: string;
  /** What would help; '' if nothing has to be done. */
  readonly advice: string;
}

type Check = (socketDirectory: string) => Finding | Promise<Finding>;

const PAGE_BYTES = 2n * 1024n * 1024n;
const NODE_OLDEST = 20;
/** As many extents' descriptors as a grant may have in flight, and some to spare. */
const OPEN_FILES_WANTED = 4096;
/** The first kernel with pidfds on SCM_RIGHTS peers (SO_PEERPIDFD); older ones are looked up by number. */
const KERNEL_WANTED = [6, 5] as const;

const ok = (check: string, found: string): Finding => ({ check, state: 'ok', found, advice: '' });
const note = (check: string, found: string, advice: string): Finding => ({
  check,
  state: 'note',
  found,
  advice,
});
const bad = (check: string, found: string, advice: string): Finding => ({
  check,
  state: 'bad',
  found,
  advice,
});
const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

function node(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= NODE_OLDEST
    ? ok('node', process.versions.node)
    : bad('node', process.versions.node, `install Node ${NODE_OLDEST} or later`);
}

function kernel(): Finding {
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
  const [major = 0, minor = 0] = release.split('.').map(Number);
  const [wantedMajor, wantedMinor] = KERNEL_WANTED;
  const recent = major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  return recent
    ? ok('kernel', release)
    : note(
        'kernel',
        release,
        `from ${KERNEL_WANTED.join('.')} on a peer's process is known by its socket; ` +
          'here it is looked up by number',
      );
}

function addon(): Finding {
  try {
    loadNative();
    return ok('addon', 'loads');
  } catch (error) {
    return bad('addon', messageOf(error), 'npm run build (needs cmake and a C++20 compiler)');
  }
}

function describeGpu(): DeviceDescription {
  const device = loadNative().openDevice({
    backend: 'cuda',
    ordinal: 0,
    library: defaultCudaLibrary(),
  });
  try {
    return device.describe();
  } finally {
    device.close();
  }
}

function gpu(): Finding {
  try {
    const { name, driver, totalBytes, freeBytes } = describeGpu();
    const found = `${name}, driver ${driver}, ${showBytes(freeBytes)} of ${showBytes(totalBytes)} free`;
    return freeBytes * 10n > totalBytes
      ? ok('gpu', found)
      : note('gpu', found, 'other processes have most of its memory: see nvidia-smi');
  } catch (error) {
    return note(
      'gpu',
      messageOf(error),
      'without a GPU the host backend serves; if there should be one: nvidia-smi, KVSPAN_CUDA_LIBRARY',
    );
  }
}

const shown = (us: number): string => `${Math.round(us)} us`;

/** Everything that kvspan does with memory, once: virtual memory, descriptors, access. */
function roundTrip(backend: 'host' | 'cuda'): string {
  const raw = loadNative().openRawDevice({ backend, ordinal: 0, library: defaultCudaLibrary() });
  try {
    const { handle, us } = raw.create(PAGE_BYTES);
    const passed = raw.exportImport(handle, PAGE_BYTES);
    const { address } = raw.reserve(PAGE_BYTES);
    const mapUs = raw.map(address, passed.handle, PAGE_BYTES) + raw.access(address, PAGE_BYTES);
    raw.unmap(address, PAGE_BYTES);
    raw.unreserve(address, PAGE_BYTES);
    raw.release(passed.handle);
    raw.release(handle);
    return (
      `2 MiB created (${shown(us)}), exported (${shown(passed.exportUs)}), ` +
      `imported (${shown(passed.importUs)}), mapped (${shown(mapUs)}), released`
    );
  } finally {
    raw.close();
  }
}

function gpuMemory(): Finding {
  if (!canDescribe()) return note('gpu memory', 'no GPU', 'see above');
  try {
    return ok('gpu memory', roundTrip('cuda'));
  } catch (error) {
    return bad(
      'gpu memory',
      messageOf(error),
      'the driver must allow virtual memory with file descriptors; in a container: all of its capabilities',
    );
  }
}

function canDescribe(): boolean {
  try {
    describeGpu();
    return true;
  } catch {
    return false;
  }
}

function hostMemory(): Finding {
  try {
    return ok('host memory', roundTrip('host'));
  } catch (error) {
    return bad('host memory', messageOf(error), 'the host backend needs memfd_create and mmap');
  }
}

function deviceFiles(): Finding {
  const files = existsSync('/dev') ? readdirSync('/dev').filter(isNvidia) : [];
  if (files.length === 0) return note('device files', 'no /dev/nvidia*', 'none are needed on host');
  const closed = files.filter(file => !mayUse(`/dev/${file}`));
  return closed.length === 0
    ? ok('device files', files.map(file => `/dev/${file}`).join(', '))
    : bad(
        'device files',
        `not for this user: ${closed.map(file => `/dev/${file}`).join(', ')}`,
        'add the user to their group, or give the container the devices',
      );
}

const isNvidia = (name: string): boolean => /^nvidia(ctl|-uvm|[0-9]+)$/.test(name);

function mayUse(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Under MPS a killed client's kernels may go on writing after its process has gone. */
function mps(): Finding {
  const pipe = process.env['CUDA_MPS_PIPE_DIRECTORY'] ?? '/tmp/nvidia-mps';
  return existsSync(pipe)
    ? bad(
        'mps',
        `${pipe} is there`,
        "kvspan's promise that a dead client no longer writes does not hold under MPS: " +
          'stop it, or trust all clients',
      )
    : ok('mps', 'not in use');
}

function openFiles(): Finding {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find(one => one.startsWith('Max open files'));
  const hard = line?.trim().split(/\s+/)[4] ?? '0';
  const count = hard === 'unlimited' ? Infinity : Number(hard);
  return count >= OPEN_FILES_WANTED
    ? ok('open files', `hard limit ${hard}`)
    : note('open files', `hard limit ${hard}`, `raise it to ${OPEN_FILES_WANTED} (LimitNOFILE)`);
}

function kernels(): Finding {
  const folder = findKernels();
  const there = existsSync(folder) && readdirSync(folder).some(name => name.endsWith('.fatbin'));
  return there
    ? ok('attention kernels', folder)
    : note(
        'attention kernels',
        `none in ${folder}`,
        'npm run kernels compiles them; only the benchmarks and `openKernels` need them',
      );
}

function sockets(directory: string): Finding {
  if (!existsSync(directory))
    return note('socket directory', `${directory} is not there`, 'the daemon makes it');
  const stat = lstatSync(directory);
  if (!stat.isDirectory())
    return bad('socket directory', `${directory} is no directory`, 'move it away');
  const mode = (stat.mode & 0o777).toString(8);
  const found = `${directory}, mode ${mode}, user ${stat.uid}`;
  return (stat.mode & 0o022) === 0
    ? ok('socket directory', found)
    : bad('socket directory', found, `others may write to it: chmod go-w ${directory}`);
}

async function daemon(directory: string): Promise<Finding> {
  const admin = new AdminClient({ socketDirectory: directory, timeoutMs: 2_000 });
  try {
    const pool = await admin.pool();
    const use = `${showBytes(pool.usedBytes)} of ${showBytes(pool.poolBytes)} in use`;
    const found = `kvspan ${pool.version} on ${pool.backend}, ${use}`;
    return pool.version === version
      ? ok('daemon', found)
      : note('daemon', found, `this command is ${version}: upgrade both together`);
  } catch (error) {
    const code = error instanceof KvspanError ? error.code : 'INTERNAL';
    return code === 'DEADLINE_EXCEEDED'
      ? bad('daemon', `does not answer in ${directory}`, 'see its log; it may be stopped')
      : note('daemon', `none answers in ${directory}`, 'kvspan serve');
  } finally {
    admin.close();
  }
}

export const checks: readonly Check[] = [
  node,
  kernel,
  addon,
  hostMemory,
  gpu,
  gpuMemory,
  deviceFiles,
  mps,
  openFiles,
  kernels,
  sockets,
  daemon,
];
