/**
 * Requests drawn from a distribution, for when there is no trace: log-normal prompts and answers
 * (most are short, a few are very long) that arrive as a Poisson process in virtual time.
 */
import { Random } from './random.js';
import type { TraceRequest } from './types.js';

export interface Distribution {
  /** Median and the standard deviation of the logarithm; cut off at `max`. */
  readonly prompt: { readonly median: number; readonly sigma: number; readonly max: number };
  readonly answer: { readonly median: number; readonly sigma: number; readonly max: number };
  /** Mean time between arrivals. */
  readonly meanGapMs: number;
}

/** A chat service in small: mean prompt about 830 tokens, mean answer about 170. */
export const defaultDistribution: Distribution = {
  prompt: { median: 512, sigma: 1, max: 8192 },
  answer: { median: 128, sigma: 0.75, max: 1024 },
  meanGapMs: 100,
};

/** The same seed and count give the same requests. */
export function drawTrace(
  count: number,
  seed: number,
  distribution = defaultDistribution,
): TraceRequest[] {
  const random = new Random(seed);
  const draw = (of: Distribution['prompt']): number => {
    const tokens = Math.round(of.median * Math.exp(of.sigma * random.normal()));
    return Math.min(of.max, Math.max(1, tokens));
  };
  let arrivalMs = 0;
  return Array.from({ length: count }, () => {
    arrivalMs += random.exponential() * distribution.meanGapMs;
    return {
      arrivalMs,
      promptTokens: draw(distribution.prompt),
      answerTokens: draw(distribution.answer),
    };
  });
}
