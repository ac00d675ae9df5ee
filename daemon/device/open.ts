/** Opens the best backend there is, and says why it is not a better one. */
import { KvspanError } from '../../proto/errors.js';
import { loadNative } from '../../native/index.js';
import type { NativeModule } from '../../native/native.js';
import type { Config } from '../config/schema.js';
import { StartupError } from '../exit-codes.js';
import type { Backend, Device, DeviceDescription, System, UsageMeter } from '../ports/device.js';

/** Descriptors that a busy daemon comes to: the table grows once, at start, not in a step of it. */
const FD_TABLE_COUNT = 4096;

export interface OpenedDevice {
  readonly device: Device;
  /** As it was when it was opened. Asking takes a context of the GPU for a moment: it is asked once. */
  readonly description: DeviceDescription;
  /** Of what the machine says of the device's memory. */
  readonly meter: UsageMeter;
  /** Why the first choice was not taken; null if it was. */
  readonly fallbackReason: string | null;
}

type DeviceConfig = Pick<Config, 'backend' | 'ordinal' | 'cudaLibrary'>;

/** The native core, loaded. Throws a StartupError of reason `noDevice`. */
export function loadCore(): NativeModule & System {
  try {
    const native = loadNative();
    native.growFdTable(FD_TABLE_COUNT);
    return native;
  } catch (error) {
    throw new StartupError(
      'noDevice',
      `the native addon does not load: ${messageOf(error)}`,
      'build it: npm start',
      error,
    );
  }
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

type Described = Omit<OpenedDevice, 'fallbackReason'>;

function openBackend(native: NativeModule, backend: Backend, config: DeviceConfig): Described {
  const handle = native.openDevice({
    backend,
    ordinal: config.ordinal,
    library: config.cudaLibrary,
  });
  try {
    const device: Device = {
      listen: (options, onEvent) => native.listen({ device: handle, ...options }, onEvent),
      close: () => handle.close(),
    };
    const description = handle.describe();
    return { device, description, meter: meterOf(native, description, config.cudaLibrary) };
  } catch (error) {
    handle.close();
    throw error;
  }
}

/** What native code gives for a process that cannot be seen. */
const UNSEEN = 2n ** 64n - 1n;

function meterOf(
  native: NativeModule,
  { backend, uuid }: DeviceDescription,
  library: string | null,
): UsageMeter {
  return {
    async read(processes) {
      const query = { backend, uuid: uuid === '' ? null : uuid, library, processes };
      const { usedBytes, freeBytes, heldBytes } = await native.readUsage(query);
      const held = Array.from(heldBytes, bytes => (bytes === UNSEEN ? null : bytes));
      return { usedBytes, freeBytes, heldBytes: backend === 'cuda' ? null : held };
    },
  };
}

function openAsked(native: NativeModule, backend: Backend, config: DeviceConfig): Described {
  try {
    return openBackend(native, backend, config);
  } catch (error) {
    const hint =
      backend === 'cuda'
        ? 'check the driver (nvidia-smi), --ordinal and --cuda-library, or use --backend host'
        : '';
    throw new StartupError(
      'noDevice',
      `backend ${backend} cannot be opened: ${messageOf(error)}`,
      hint,
      error,
    );
  }
}

/** A GPU whose memory is all in use opens, but serves nobody. */
function openCudaWithMemory(native: NativeModule, config: DeviceConfig): OpenedDevice {
  const opened = openBackend(native, 'cuda', config);
  const { freeBytes, granularityBytes } = opened.description;
  if (freeBytes >= granularityBytes) return { ...opened, fallbackReason: null };
  opened.device.close();
  throw new KvspanError('DEVICE_EXHAUSTED', `the GPU has ${freeBytes} bytes free`);
}

/** Throws a StartupError of reason `noDevice`. */
export function openDevice(native: NativeModule, config: DeviceConfig): OpenedDevice {
  if (config.backend !== 'auto') {
    return { ...openAsked(native, config.backend, config), fallbackReason: null };
  }
  try {
    return openCudaWithMemory(native, config);
  } catch (error) {
    const fallbackReason = `cuda: ${messageOf(error).replace(/^cuda: /, '')}`;
    return { ...openAsked(native, 'host', config), fallbackReason };
  }
}
