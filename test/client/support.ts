/** What the client's tests share: a small cache, rows that can be told apart, a filled pool. */
import {
  type Cache,
  type CacheOptions,
  connect,
  type ConnectOptions,
  type Session,
} from '../../client/typescript/index.js';
import { PAGE } from '../support/daemon.js';

/** 8 KiB a token, so that a page holds 256 tokens and growth shows soon. A slot is 32 MiB at most. */
export const SMALL: CacheOptions = {
  layers: 4,
  kvHeads: 8,
  headDim: 64,
  dtype: 'bf16',
  slots: 8,
  maxTokens: 4096,
  lookaheadTokens: 0,
};
export const TOKEN_BYTES = 8192;
export const TOKENS_PER_PAGE = Number(PAGE) / TOKEN_BYTES;

/** Nothing is asked for ahead of need, so that tests can count. */
export const QUIET: ConnectOptions = { lowWaterBytes: 0n, highWaterBytes: 0n, grantWaitMs: 5_000 };

export function connectTo(directory: string, options: ConnectOptions = {}): Promise<Session> {
  return connect({ socketDirectory: directory, ...QUIET, ...options });
}

/** Rows of whole tokens that differ by token and seed. */
export function rows(firstToken: number, tokens: number, seed: number): Uint8Array {
  const words = new Uint32Array((tokens * TOKEN_BYTES) / 4);
  const perToken = TOKEN_BYTES / 4;
  for (let index = 0; index < words.length; index++) {
    words[index] =
      Math.imul((firstToken + Math.floor(index / perToken)) ^ (seed << 16), 2654435761) +
      (index % perToken);
  }
  return new Uint8Array(words.buffer);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Grows a slot step by step as decoding does, writing every token; returns its length. */
export async function decode(
  cache: Cache,
  slot: number,
  to: number,
  seed: number,
): Promise<number> {
  let length = cache.length(slot);
  while (length < to) {
    const next = Math.min(to, length + 64);
    const result = await cache.step(new Map([[slot, next]]));
    if (result.outcome === 'short') break;
    cache.writeTokens(slot, length, rows(length, next - length, seed));
    length = next;
  }
  return length;
}
