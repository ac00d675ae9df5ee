/** The written report: every section, from the results that there are. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { badField } from '../../proto/errors.js';
import { type Chart, draw, loadEcharts } from './charts.js';
import { tally } from './compare.js';
import { loadResults } from './load.js';
import { type BenchResult, slug } from './results.js';
import type { Section } from './section.js';
import { allocator } from './sections/allocator.js';
import { attention } from './sections/attention.js';
import { elasticity } from './sections/elasticity.js';
import { growth } from './sections/growth.js';
import { memory } from './sections/memory.js';
import { serving } from './sections/serving.js';
import { servingLoop } from './sections/serving-loop.js';
import { unmodifiedKernels } from './sections/unmodified-kernels.js';

const sections: readonly Section[] = [
  attention,
  unmodifiedKernels,
  growth,
  memory,
  serving,
  servingLoop,
  allocator,
  elasticity,
];

export interface ReportOptions {
  /** Where the results lie; the plots go below it. */
  readonly results: string;
  /** The page. */
  readonly out: string;
}

export interface Written {
  readonly page: string;
  /** By path relative to the page. */
  readonly plots: ReadonlyMap<string, Chart>;
}

/** Writes the page and its plots; the paths. */
export async function writeReport(options: ReportOptions): Promise<string[]> {
  const plotFolder = join(options.results, 'plots');
  const { page, plots } = compose(
    loadResults(options.results),
    relative(dirname(options.out), plotFolder),
  );
  const echarts = await loadEcharts();
  const files = [...plots].map(([path, chart]) => ({
    path: join(dirname(options.out), path),
    text: draw(echarts, chart),
  }));
  write([{ path: options.out, text: page }, ...files]);
  return [options.out, ...files.map(file => file.path)];
}

function write(files: readonly { readonly path: string; readonly text: string }[]): void {
  for (const { path, text } of files) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw badField('--out', path, `a file that can be written (${code})`);
    }
  }
}

/** The page, and what is to be drawn for it; the same results give the same text. */
export function compose(results: readonly BenchResult[], plotFolder: string): Written {
  const plots = new Map<string, Chart>();
  const parts = sections.map(section => {
    const found = results.filter(result => result.bench === section.bench);
    const bodies = found.map(result => body(section, result, plotFolder, plots));
    const told = bodies.length > 0 ? bodies.join('\n\n') : notMeasured(section);
    return `## ${section.title}\n\n${section.about}\n\n${told}`;
  });
  return { page: `${[preface, ...parts].join('\n\n')}\n`, plots };
}

const preface = `# What it costs, measured

Written by \`kvspan bench report\` from the files under \`results/\`; not edited by hand. Each section
compares what was measured in one run on one machine, never figures of two. Times are medians;
comparisons within 1 % count as equal. Every comparison that was made is listed, those in which
kvspan comes out behind like those in which it does not.`;

const notMeasured = (section: Section): string =>
  `Not measured yet. On a machine that can: \`${section.command}\`, then \`npm run bench -- report\`.`;

function body(
  section: Section,
  result: BenchResult,
  plotFolder: string,
  plots: Map<string, Chart>,
): string {
  const pictures = section.charts(result).map(chart => {
    const path = `${plotFolder}/${section.bench}-${slug(result.device)}-${chart.name}.svg`;
    plots.set(path, chart);
    return `![${chart.title}](${path})`;
  });
  const findings = section.findings(result);
  const list = findings.map(({ text }) => `- ${text}`).join('\n');
  return [
    `### ${result.device}`,
    provenance(result),
    ...(result.absent?.length
      ? [`Not all of it was measured: without ${result.absent.join(', ')}.`]
      : []),
    ...(result.backend === 'host' ? [HOST] : []),
    ...pictures,
    ...(findings.length > 0 ? [tally(findings, section.subject), list] : []),
    section.table(result),
  ].join('\n\n');
}

const HOST =
  'On the `host` backend mapping means zeroing ordinary memory page by page, and sizes are small: ' +
  'these figures check the harness and say nothing of a GPU.';

function provenance({ driver, commit, date, machine }: BenchResult): string {
  const clocks = machine.clocks ? `; ${machine.clocks}` : '';
  return (
    `Driver ${driver}${clocks}; ${machine.cpu}, ${machine.cores} cores; ${softwareOf(machine)}; ` +
    `commit \`${commit}\`, ${date.slice(0, 10)}.`
  );
}

function softwareOf({ node, python, libraries }: BenchResult['machine']): string {
  const named = Object.entries({ Node: node, Python: python, ...libraries });
  return named.flatMap(([name, version]) => (version ? [`${name} ${version}`] : [])).join(', ');
}
