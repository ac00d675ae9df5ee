/** Where things are when nobody says otherwise: the place to meet, and the driver's library. */
import { join } from 'node:path';

export const SERVICE_SOCKET = 'kvspan.sock';
export const EXTENT_SOCKET = 'extents.sock';
/** The owner's alone, whoever else may connect to the others: here settings are changed. */
export const ADMIN_SOCKET = 'admin.sock';
/** The owner's alone too: one line, the address of the live page with its token. */
export const PAGE_FILE = 'page.url';

/**
 * The socket directory: `KVSPAN_SOCKET_DIR`, else `/run/kvspan` for root, else
 * `$XDG_RUNTIME_DIR/kvspan`, else `/tmp/kvspan-<uid>`.
 */
export function defaultSocketDirectory(
  env: NodeJS.ProcessEnv = process.env,
  uid = process.getuid?.() ?? 0,
): string {
  if (env['KVSPAN_SOCKET_DIR']) return env['KVSPAN_SOCKET_DIR'];
  if (uid === 0) return '/run/kvspan';
  if (env['XDG_RUNTIME_DIR']) return join(env['XDG_RUNTIME_DIR'], 'kvspan');
  return `/tmp/kvspan-${uid}`;
}

/**
 * Path of libcuda: `KVSPAN_CUDA_LIBRARY`, else null, the system's `libcuda.so.1`. The daemon reads
 * the same variable with its other settings.
 */
export function defaultCudaLibrary(env: NodeJS.ProcessEnv = process.env): string | null {
  return env['KVSPAN_CUDA_LIBRARY'] || null;
}
