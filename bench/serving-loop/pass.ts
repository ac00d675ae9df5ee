/**
 * What one forward pass computes: everybody who decodes gets a token, and prompts are prefilled in
 * chunks, the oldest first, as many tokens a pass as there is budget for.
 */
import { isPrefilling, type Running, writtenOf } from '../demo/scheduler.js';

export interface Pass {
  /** In the order of the batch: who decodes, then who prefills. */
  readonly requests: readonly Running[];
  readonly decodeCount: number;
  /** New tokens of each; 1 for who decodes. */
  readonly newTokens: Int32Array;
  /** Tokens written when they are appended. */
  readonly lengths: Int32Array;
  /** Where each request's new rows begin, and after the last where they end. */
  readonly rowStarts: Int32Array;
}

export function planPass(running: readonly Running[], prefillBudget: number): Pass {
  const decode = running.filter(
    request => !isPrefilling(request) && request.generated < request.answerTokens,
  );
  let budget = prefillBudget;
  const prefill: { readonly request: Running; readonly tokens: number }[] = [];
  for (const request of running.filter(isPrefilling)) {
    const tokens = Math.min(budget, request.prefillTokens - request.prefilled);
    if (tokens === 0) break;
    prefill.push({ request, tokens });
    budget -= tokens;
  }
  const requests = [...decode, ...prefill.map(({ request }) => request)];
  const newTokens = Int32Array.from([
    ...decode.map(() => 1),
    ...prefill.map(({ tokens }) => tokens),
  ]);
  const lengths = newTokens.map((tokens, index) => writtenOf(requests[index] as Running) + tokens);
  const rowStarts = new Int32Array(requests.length + 1);
  for (const [index, tokens] of newTokens.entries())
    rowStarts[index + 1] = (rowStarts[index] as number) + tokens;
  return { requests, decodeCount: decode.length, newTokens, lengths, rowStarts };
}

const CAPACITY_TOKENS_MIN = 1024;

/**
 * For how long a request plans and block tables are made when the longest of a pass has so many
 * tokens: the next power of two, as engines keep a graph for each of a few sizes. A table is then
 * hardly wider than it must be, and there are few plans. At most `most`.
 */
export function capacityOf(tokens: number, most: number): number {
  let capacity = CAPACITY_TOKENS_MIN;
  while (capacity < tokens) capacity *= 2;
  return Math.min(capacity, most);
}

/** The pass is over: its tokens are written. */
export function commitPass({ requests, decodeCount, newTokens }: Pass): void {
  for (const [index, request] of requests.entries()) {
    if (index < decodeCount) request.generated += 1;
    else request.prefilled += newTokens[index] as number;
  }
}
