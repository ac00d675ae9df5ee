/// <reference lib="dom" />
/** Memory over the last ten minutes: what each tenant held, one on top of the other. */
import uPlot from './uplot.js';
import type { Sample } from './data.js';
import { colourOf, showBytes } from './format.js';

const SAMPLES_MAX = 600;
const HEIGHT = 180;
const SHOWN_SECONDS = 600;

const lastTenMinutes = (_: uPlot, __: number, newest: number): [number, number] => [
  newest - SHOWN_SECONDS,
  newest,
];
const quarters = (whole: number): number[] => [0, 1, 2, 3, 4].map(part => (part * whole) / 4);

const two = (value: number): string => `${value}`.padStart(2, '0');

/** `18:46`, and `:30` between. The library's own labels have a date, which runs into the next label. */
function clockOf(seconds: number): string {
  const time = new Date(seconds * 1000);
  return time.getSeconds() === 0
    ? `${two(time.getHours())}:${two(time.getMinutes())}`
    : `:${two(time.getSeconds())}`;
}

export class TimeLine {
  #samples: Sample[] = [];
  #tenants: readonly string[] = [];
  #chart: uPlot | null = null;

  constructor(
    private readonly place: HTMLElement,
    private readonly poolBytes: () => number,
  ) {
    new ResizeObserver(() => this.#chart?.setSize(this.#size())).observe(place);
  }

  add(samples: readonly Sample[], tenants: readonly string[]): void {
    this.#samples = [...this.#samples, ...samples].slice(-SAMPLES_MAX);
    if (this.#chart === null || tenants.join('\n') !== this.#tenants.join('\n')) {
      this.#tenants = [...tenants];
      this.#build();
    } else {
      this.#chart.setData(this.#data());
    }
  }

  /** The uppermost line is the sum, so each tenant's share is the space below its line. */
  #data(): uPlot.AlignedData {
    const times = this.#samples.map(({ at }) => at / 1000);
    const below = this.#samples.map(() => 0);
    const lines = this.#tenants.map(tenant =>
      this.#samples.map(({ heldByTenant }, index) => {
        below[index] = (below[index] ?? 0) + (heldByTenant[tenant] ?? 0);
        return below[index];
      }),
    );
    return [times, ...lines] as uPlot.AlignedData;
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(200, this.place.clientWidth), height: HEIGHT };
  }

  #build(): void {
    this.#chart?.destroy();
    const text = getComputedStyle(this.place).getPropertyValue('--quiet');
    const line = getComputedStyle(this.place).getPropertyValue('--line');
    const axis = { stroke: text, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    const series = this.#tenants.map((label, index) => ({
      label,
      stroke: colourOf(index),
      points: { show: false },
      fill: colourOf(index, 0, 0.25),
      value: (_: uPlot, value: number | null) => (value === null ? '-' : showBytes(value)),
    }));
    this.#chart = new uPlot(
      {
        ...this.#size(),
        scales: { x: { range: lastTenMinutes }, y: { range: () => [0, this.poolBytes()] } },
        axes: [
          { ...axis, values: (_: uPlot, ticks: number[]) => ticks.map(clockOf) },
          {
            ...axis,
            size: 80,
            splits: () => quarters(this.poolBytes()),
            values: (_: uPlot, ticks: number[]) => ticks.map(showBytes),
          },
        ],
        series: [{}, ...series],
      },
      this.#data(),
      this.place,
    );
  }
}
