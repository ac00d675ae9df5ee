/**
 * What is left to an evicted session: its memory stays usable, and its token still serves to give it
 * back. Nothing else, and no other session for this process.
 */
import { join } from 'node:path';
import type { KvspanError } from '../../proto/errors.js';
import { SERVICE_SOCKET } from '../../proto/paths.js';
import type { ReturnPath } from './returns.js';
import { Service } from './service.js';

const RETURN_TIMEOUT_MS = 10_000;

export class Eviction implements ReturnPath {
  readonly service: Service;
  #open = true;

  constructor(
    /** What everything but giving back is refused with. */
    readonly error: KvspanError,
    socketDirectory: string,
    /** Null: the session had ended before it was evicted, and nothing can be told any more. */
    token: Uint8Array | null,
  ) {
    this.service = new Service(join(socketDirectory, SERVICE_SOCKET));
    if (token === null) this.close();
    else this.service.authorise(token);
  }

  get open(): boolean {
    return this.#open;
  }

  return(extentIds: readonly bigint[]): Promise<bigint> {
    return this.service.giveBack(extentIds, RETURN_TIMEOUT_MS);
  }

  close(): void {
    this.#open = false;
    this.service.close();
  }
}
