/**
 * Charts as SVG, drawn without a browser. The same figures give the same bytes. Each has a
 * background of its own and follows the reader's colour scheme, so it reads in light and in dark.
 */
import type { EChartsOption } from 'echarts';
import { KvspanError } from '../../proto/errors.js';

export interface Series {
  readonly name: string;
  /** By category, or [x, y]; null: not measured. */
  readonly values: readonly (number | null)[] | readonly (readonly [number, number])[];
}

export interface Chart {
  /** Of its file, within its bench and device. */
  readonly name: string;
  readonly title: string;
  readonly kind: 'bars' | 'stacked' | 'lines';
  readonly categories: readonly string[];
  readonly series: readonly Series[];
  readonly yTitle: string;
  readonly xTitle?: string;
  /** Of lines; logarithmic if nothing is said. */
  readonly xScale?: 'log' | 'linear';
  readonly log?: boolean;
}

/** Named by what they are for, and rare enough to be found again in the drawing. */
const BACKGROUND = '#fffffe';
const TEXT = '#24292e';
const LINES = '#d0d7df';
const inTheDark: Readonly<Record<string, string>> = {
  [BACKGROUND]: '#0d1117',
  [TEXT]: '#e6edf3',
  [LINES]: '#3d444d',
};
/** Told apart by most people with a weakness for colours, on light and on dark (Okabe and Ito). */
const COLOURS = [
  '#0072b2',
  '#e69f00',
  '#009e73',
  '#d55e00',
  '#cc79a7',
  '#56b4e9',
  '#8c8c8c',
  '#b8a800',
] as const;

const WIDTH = 920;
const HEIGHT = 400;
const LEGEND_LINE = 20;
type Echarts = typeof import('echarts');

/** Only who draws needs the library. */
export async function loadEcharts(): Promise<Echarts> {
  try {
    return await import('echarts');
  } catch (cause) {
    throw new KvspanError(
      'INVALID_ARGUMENT',
      'report: the charting library is not installed; run it in a checkout with its development dependencies',
      { cause },
    );
  }
}

export function draw(echarts: Echarts, chart: Chart): string {
  const size = { width: WIDTH, height: HEIGHT + legendHeight(chart) };
  const drawing = echarts.init(null, null, { renderer: 'svg', ssr: true, ...size });
  drawing.setOption(optionOf(chart));
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  return follow(plain(svg));
}

const legendHeight = ({ series }: Chart): number => series.length * LEGEND_LINE;

function optionOf(chart: Chart): EChartsOption {
  const text = { color: TEXT, fontFamily: 'sans-serif' };
  const axis = {
    axisLabel: { ...text, interval: 0, overflow: 'break' as const, width: 140 },
    axisLine: { show: true, lineStyle: { color: LINES } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: LINES } },
    nameTextStyle: text,
  };
  const lines = chart.kind === 'lines';
  const linear = chart.xScale === 'linear';
  return {
    animation: false,
    backgroundColor: BACKGROUND,
    textStyle: text,
    color: [...COLOURS],
    title: { text: chart.title, left: 12, top: 8, textStyle: { ...text, fontSize: 15 } },
    // A name a line: in a row they would overlap in a font that is wider than the one assumed here.
    legend: { orient: 'vertical', bottom: 6, left: 72, itemGap: 6, textStyle: text, itemWidth: 14 },
    grid: { left: 80, right: 24, top: 64, bottom: legendHeight(chart) + 56 },
    xAxis: lines
      ? {
          ...axis,
          type: linear ? 'value' : 'log',
          name: chart.xTitle ?? '',
          nameLocation: 'middle',
          nameGap: 28,
        }
      : { ...axis, type: 'category', data: [...chart.categories] },
    yAxis: { ...axis, type: chart.log ? 'log' : 'value', name: chart.yTitle },
    series: chart.series.map(({ name, values }) => ({
      name,
      type: lines ? 'line' : 'bar',
      ...(chart.kind === 'stacked' ? { stack: 'all' } : {}),
      ...(lines ? { symbolSize: 7, showSymbol: !linear } : { barMaxWidth: 44 }),
      data: values as number[],
    })),
  };
}

/** Without what serves a page's scripts, among it names that count up from drawing to drawing. */
function plain(svg: string): string {
  return svg
    .replaceAll(/<style[^>]*>[\s\S]*?<\/style>/g, '')
    .replaceAll(/ (class|ecmeta_\w+|pointer-events)="[^"]*"/g, '')
    .replaceAll(/zr\d+-/g, 'zr-');
}

/** The reader's colour scheme, where the drawing is shown as a picture. */
function follow(svg: string): string {
  const rules = Object.entries(inTheDark).map(
    ([light, dark]) => `[fill="${light}"]{fill:${dark}}[stroke="${light}"]{stroke:${dark}}`,
  );
  const style = `<style>@media (prefers-color-scheme:dark){${rules.join('')}}</style>`;
  return `${svg.replace('>', `>\n${style}`).trimEnd()}\n`;
}
