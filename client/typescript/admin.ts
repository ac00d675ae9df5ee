/** A daemon seen from outside, by an operator: its books, and what of them may be changed. */
import { join } from 'node:path';
import { type CallOptions, credentials, Metadata, type requestCallback } from '@grpc/grpc-js';
import { decodeUint64, encodeUint64 } from '../../proto/codec.js';
import { KvspanError } from '../../proto/errors.js';
import type { AdminServiceClient } from '../../proto/generated/kvspan/v1/AdminService.js';
import type { EvictSessionResponse__Output } from '../../proto/generated/kvspan/v1/EvictSessionResponse.js';
import type { GetPoolResponse__Output } from '../../proto/generated/kvspan/v1/GetPoolResponse.js';
import type { ListCachesResponse__Output } from '../../proto/generated/kvspan/v1/ListCachesResponse.js';
import type { ListSessionsResponse__Output } from '../../proto/generated/kvspan/v1/ListSessionsResponse.js';
import type { ListTenantsResponse__Output } from '../../proto/generated/kvspan/v1/ListTenantsResponse.js';
import type { SetTenantResponse__Output } from '../../proto/generated/kvspan/v1/SetTenantResponse.js';
import { loadPackage } from '../../proto/load.js';
import { ADMIN_SOCKET, defaultSocketDirectory, SERVICE_SOCKET } from '../../proto/paths.js';
import { errorOfCall } from '../../proto/refusal.js';
import * as validate from './validate.js';
import {
  type CacheView,
  decodeCache,
  decodePool,
  decodeSession,
  decodeTenant,
  encodeEntitlement,
  type Entitlement,
  type PoolView,
  type SessionView,
  type TenantList,
  type TenantView,
} from './admin-views.js';

export interface AdminOptions {
  /** Default: that of `connect`. */
  readonly socketDirectory?: string;
  /** The longest that one call may take, in milliseconds. Default: 5,000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS_DEFAULT = 5_000;

type Call<Answer> = (
  metadata: Metadata,
  options: CallOptions,
  done: requestCallback<Answer>,
) => unknown;

/**
 * Reading needs the right to connect to the daemon; changing, to be its own user (`admin.sock`).
 * Every call can fail with DAEMON_UNAVAILABLE, DEADLINE_EXCEEDED or PERMISSION_DENIED.
 */
export class AdminClient {
  readonly socketDirectory: string;
  readonly #timeoutMs: number;
  readonly #reader: AdminServiceClient;
  readonly #changer: AdminServiceClient;

  /** Connects with its first call. INVALID_ARGUMENT if an option is not what it must be. */
  constructor(options: AdminOptions = {}) {
    validate.object('options', options);
    this.socketDirectory = validate.path(
      'socketDirectory',
      options.socketDirectory ?? defaultSocketDirectory(),
    );
    this.#timeoutMs = validate.waitMs(options.timeoutMs, TIMEOUT_MS_DEFAULT, 'timeoutMs');
    this.#reader = adminStub(join(this.socketDirectory, SERVICE_SOCKET));
    this.#changer = adminStub(join(this.socketDirectory, ADMIN_SOCKET));
  }

  async pool(): Promise<PoolView> {
    const call: Call<GetPoolResponse__Output> = (...rest) => this.#reader.getPool({}, ...rest);
    return decodePool(await this.#call(call));
  }

  async sessions(): Promise<SessionView[]> {
    const call: Call<ListSessionsResponse__Output> = (...rest) =>
      this.#reader.listSessions({}, ...rest);
    return (await this.#call(call)).sessions.map(decodeSession);
  }

  /** Of one session, or of all. SESSION_UNKNOWN if there is no such session. */
  async caches(sessionId = 0n): Promise<CacheView[]> {
    const request = { sessionId: encodeUint64(sessionId, 'sessionId') };
    const call: Call<ListCachesResponse__Output> = (...rest) =>
      this.#reader.listCaches(request, ...rest);
    return (await this.#call(call)).caches.map(decodeCache);
  }

  async tenants(): Promise<TenantList> {
    const call: Call<ListTenantsResponse__Output> = (...rest) =>
      this.#reader.listTenants({}, ...rest);
    const { tenants, revision } = await this.#call(call);
    return { tenants: tenants.map(decodeTenant), revision: decodeUint64(revision, 'revision') };
  }

  /**
   * In force at once. `revision`: of the list that the change was made from. TENANT_UNKNOWN,
   * REVISION_STALE (somebody changed something meanwhile), INVALID_ARGUMENT (more guaranteed than the
   * pool has, a limit below the guarantee, no weight).
   */
  async setTenant(
    name: string,
    entitlement: Entitlement,
    revision: bigint,
  ): Promise<{ readonly tenant: TenantView; readonly revision: bigint }> {
    const request = {
      name,
      revision: encodeUint64(revision, 'revision'),
      entitlement: encodeEntitlement(entitlement),
    };
    const call: Call<SetTenantResponse__Output> = (...rest) =>
      this.#changer.setTenant(request, ...rest);
    const answer = await this.#call(call);
    return {
      tenant: decodeTenant(answer.tenant),
      revision: decodeUint64(answer.revision, 'revision'),
    };
  }

  /**
   * Puts a session out: it gets nothing more and may only give back. Its process is named in the
   * answer, and ended (SIGKILL) only with `kill`. SESSION_UNKNOWN; PERMISSION_DENIED also for a
   * process that the daemon may not end, and then nothing has changed.
   */
  async evict(
    sessionId: bigint,
    options: { readonly kill?: boolean } = {},
  ): Promise<{ readonly session: SessionView; readonly killed: boolean }> {
    const request = {
      sessionId: encodeUint64(sessionId, 'sessionId'),
      kill: options.kill ?? false,
    };
    const call: Call<EvictSessionResponse__Output> = (...rest) =>
      this.#changer.evictSession(request, ...rest);
    const { session, killed } = await this.#call(call);
    if (session === null)
      throw new KvspanError('PROTOCOL', 'session: got none, allowed: a SessionInfo');
    return { session: decodeSession(session), killed };
  }

  close(): void {
    this.#reader.close();
    this.#changer.close();
  }

  #call<Answer>(call: Call<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      call(new Metadata(), { deadline: Date.now() + this.#timeoutMs }, (failure, answer) => {
        if (failure !== null) reject(errorOfCall(failure));
        else if (answer === undefined)
          reject(new KvspanError('PROTOCOL', 'the daemon answered with nothing'));
        else resolve(answer);
      });
    });
  }
}

function adminStub(path: string): AdminServiceClient {
  return new (loadPackage().AdminService)(`unix:${path}`, credentials.createInsecure(), {
    'grpc.enable_channelz': 0,
    // A connection of its own: closing this client closes its socket.
    'grpc.use_local_subchannel_pool': 1,
  });
}
