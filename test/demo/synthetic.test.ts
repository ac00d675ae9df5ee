import { describe, expect, it } from 'vitest';
import { mix, Random } from '../../bench/trace/random.js';
import { defaultDistribution, drawTrace } from '../../bench/trace/synthetic.js';

const COUNT = 20_000;

/** Of an even count, the upper of the middle two. */
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length / 2] as number;

describe('drawn requests', () => {
  const trace = drawTrace(COUNT, 7);

  it('are the same for the same seed and others for another', () => {
    expect(drawTrace(50, 7)).toEqual(trace.slice(0, 50));
    expect(drawTrace(50, 8)).not.toEqual(trace.slice(0, 50));
  });

  it('have the medians of the documented distribution', () => {
    const { prompt, answer } = defaultDistribution;
    expect(median(trace.map(request => request.promptTokens)) / prompt.median).toBeCloseTo(1, 1);
    expect(median(trace.map(request => request.answerTokens)) / answer.median).toBeCloseTo(1, 1);
  });

  it('arrive in order, at the documented rate, as a Poisson process', () => {
    const gaps = trace.map((request, i) => request.arrivalMs - (trace[i - 1]?.arrivalMs ?? 0));
    expect(gaps.every(gap => gap >= 0)).toBe(true);
    const mean = gaps.reduce((a, b) => a + b) / COUNT;
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / COUNT;
    expect(mean / defaultDistribution.meanGapMs).toBeCloseTo(1, 1);
    expect(Math.sqrt(variance) / mean).toBeCloseTo(1, 1);
  });

  it('are whole tokens within the limits', () => {
    const { prompt, answer } = defaultDistribution;
    for (const { promptTokens, answerTokens } of trace) {
      expect(
        Number.isInteger(promptTokens) && promptTokens >= 1 && promptTokens <= prompt.max,
      ).toBe(true);
      expect(
        Number.isInteger(answerTokens) && answerTokens >= 1 && answerTokens <= answer.max,
      ).toBe(true);
    }
  });
});

describe('random numbers', () => {
  it('fill their range evenly', () => {
    const random = new Random(3);
    const buckets = Array.from({ length: 16 }, () => 0);
    for (let i = 0; i < 16_000; i++) buckets[random.integer(0, 15)]! += 1;
    for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });

  it('come of a mixing that loses nothing: different words stay different', () => {
    const seen = new Set(Array.from({ length: 50_000 }, (_, word) => mix(word)));
    expect(seen.size).toBe(50_000);
  });
});
