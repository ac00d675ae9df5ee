import { describe, expect, it } from 'vitest';
import { HISTOGRAM_EDGES_US, Latencies } from '../../bench/demo/latency.js';
import { StepRecord } from '../../bench/demo/step-record.js';

describe('latencies', () => {
  it('give exact quantiles by rank, whatever the order', () => {
    const latencies = new Latencies();
    for (let i = 5000; i >= 1; i--) latencies.add(i);
    expect(latencies.summary()).toEqual({
      count: 5000,
      p50Us: 2500,
      p99Us: 4950,
      p999Us: 4995,
      maxUs: 5000,
    });
  });

  it('are 0 when nothing happened', () => {
    expect(new Latencies().summary()).toEqual({
      count: 0,
      p50Us: 0,
      p99Us: 0,
      p999Us: 0,
      maxUs: 0,
    });
  });

  it('fall into buckets whose upper edge is included', () => {
    const latencies = new Latencies();
    for (const value of [0.5, 1, 1.001, 1e9]) latencies.add(value);
    const histogram = latencies.histogram();
    expect(histogram).toHaveLength(HISTOGRAM_EDGES_US.length + 1);
    expect(histogram.slice(0, 2)).toEqual([
      { upToUs: 1, count: 2 },
      { upToUs: 2, count: 1 },
    ]);
    expect(histogram.at(-1)).toEqual({ upToUs: null, count: 1 });
  });
});

describe('a record of steps', () => {
  it('counts the steps that made a driver call, and keeps outcomes apart', () => {
    const steps = new StepRecord();
    for (let i = 0; i < 999; i++) steps.add({ outcome: 'nothing', driverCalls: 0 }, 1);
    steps.add({ outcome: 'mapped', driverCalls: 2 }, 50);
    expect(steps.withoutDriverCallShare).toBeCloseTo(0.999, 12);
    expect(Object.keys(steps.byOutcome())).toEqual(['nothing', 'mapped']);
    expect(steps.byOutcome().mapped?.count).toBe(1);
    expect(steps.summary().count).toBe(1000);
  });
});
