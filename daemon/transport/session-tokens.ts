/**
 * Which session a call belongs to. The token is looked up by its hash, and compared in constant
 * time: how long a refusal takes says nothing about how near a guess came.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Metadata } from '@grpc/grpc-js';
import { KvspanError } from '../../proto/errors.js';
import { TOKEN_METADATA_KEY } from '../../proto/refusal.js';
import { TOKEN_BYTES } from '../ports/tokens.js';

const hashOf = (token: Uint8Array): string => createHash('sha256').update(token).digest('base64');

export class SessionTokens<Session> {
  private readonly byHash = new Map<
    string,
    { readonly token: Uint8Array; readonly session: Session }
  >();

  add(token: Uint8Array, session: Session): void {
    this.byHash.set(hashOf(token), { token: Uint8Array.from(token), session });
  }

  remove(token: Uint8Array): void {
    this.byHash.delete(hashOf(token));
  }

  /** Throws SESSION_UNKNOWN, without saying whether the token was missing, malformed or wrong. */
  authenticate(metadata: Metadata): Session {
    const given = metadata.get(TOKEN_METADATA_KEY);
    const [token] = given;
    if (given.length === 1 && Buffer.isBuffer(token) && token.length === TOKEN_BYTES) {
      const found = this.byHash.get(hashOf(token));
      if (found !== undefined && timingSafeEqual(found.token, token)) return found.session;
    }
    throw new KvspanError(
      'SESSION_UNKNOWN',
      `metadata ${TOKEN_METADATA_KEY} is not the token of an open session: connect to the extent channel`,
      {
        field: TOKEN_METADATA_KEY,
      },
    );
  }
}
