/** The clocks of the machine as they were found; nothing here changes them. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const NVIDIA_FIELDS = 'clocks.sm,clocks.max.sm,clocks.mem,clocks.max.mem,power.limit';
const QUERY_MS = 10_000;

/** Of the device of that UUID: one line for people, or null where the machine does not say. */
export function clocksOf(backend: string, uuid: string): string | null {
  return backend === 'cuda' ? gpuClocks(uuid) : cpuClock(readText('/proc/cpuinfo'));
}

/** By its UUID, since the tool's numbers are not those of CUDA. */
function gpuClocks(uuid: string): string | null {
  try {
    const text = execFileSync(
      'nvidia-smi',
      [`--id=${uuid}`, `--query-gpu=${NVIDIA_FIELDS}`, '--format=csv,noheader,nounits'],
      { encoding: 'utf8', timeout: QUERY_MS, stdio: ['ignore', 'pipe', 'ignore'] },
    );
    return describeGpuClocks(text);
  } catch {
    return null; // no such tool here, or it knows no such device
  }
}

/** From `nvidia-smi`'s line: MHz of the SMs and of the memory, now and at most, and watts. */
export function describeGpuClocks(line: string): string | null {
  const fields = line.trim().split(/\s*,\s*/);
  if (fields.length !== NVIDIA_FIELDS.split(',').length || fields.some(field => field === ''))
    return null;
  const [sm, smMax, memory, memoryMax, watts] = fields;
  return `SM ${sm} of ${smMax} MHz, memory ${memory} of ${memoryMax} MHz, limit ${watts} W`;
}

/** The clock of the first core of `/proc/cpuinfo`. */
export function cpuClock(text: string): string | null {
  const found = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(text);
  return found === null ? null : `CPU ${Math.round(Number(found[1]))} MHz`;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
