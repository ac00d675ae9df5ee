/** The traces that a bench replays: the files that were named, or one that is drawn. */
import { basename, extname } from 'node:path';
import { readTrace } from './read.js';
import { drawTrace } from './synthetic.js';
import type { TraceRequest } from './types.js';

export interface NamedTrace {
  /** The file's name without its extension, or `drawn`. */
  readonly name: string;
  readonly requests: readonly TraceRequest[];
}

const DRAWN_REQUESTS = 2000;
const DRAWN_SEED = 1;

/** At most `limit` requests of each. */
export async function loadTraces(
  files: readonly string[],
  limit = Number.POSITIVE_INFINITY,
): Promise<NamedTrace[]> {
  if (files.length === 0) {
    const requests = drawTrace(Math.min(limit, DRAWN_REQUESTS), DRAWN_SEED);
    return [{ name: 'drawn', requests }];
  }
  return Promise.all(
    files.map(async file => ({
      name: basename(file, extname(file)),
      requests: await readTrace(file, limit),
    })),
  );
}

export const tokensOf = (request: TraceRequest): number =>
  request.promptTokens + request.answerTokens;

export const longestOf = (requests: readonly TraceRequest[]): number =>
  requests.reduce((most, request) => Math.max(most, tokensOf(request)), 1);
