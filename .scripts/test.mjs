// `npm test`: builds everything the tests need, runs them, ends with a plain line
// `N passed, N failed, N skipped`. Arguments go to vitest (`npm test -- test/core`).
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { bin, root, run } from './lib.mjs';
import { python } from './python.mjs';
import { sanitized, setup } from './setup.mjs';

const results = join(root, 'build/test-results.json');
const FAILURE_LINES_MAX = 25;
const seconds = ms => `${Math.round(ms / 1000)} s`;
const say = line => process.stderr.write(`kvspan: ${line} ...\n`);

const begun = Date.now();
await setup({ tests: true });
await sanitized(say, 'address,undefined');
await sanitized(say, 'thread');
await python(say);

const built = Date.now();
rmSync(results, { force: true });
const { status } = await run(
  bin('vitest'),
  [
    'run',
    '--config',
    'test/vitest.config.ts',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
    ...process.argv.slice(2),
  ],
  { show: true },
);

if (!existsSync(results)) {
  process.stdout.write('the test runner wrote no results\n0 passed, 1 failed\n');
  process.exit(1);
}
const report = JSON.parse(readFileSync(results, 'utf8'));
// A file that fails to load has no tests in it: it counts as one failure.
const unloadable = report.testResults.filter(
  file => file.status === 'failed' && file.assertionResults.length === 0,
).length;
let failed = report.numFailedTests + unloadable;
if (status !== 0 && failed === 0) failed = 1;
const tests = report.testResults.flatMap(file =>
  file.assertionResults.map(test => ({ ...test, file: relative(root, file.name) })),
);
listTimes(report.testResults);
listSkipped(tests.filter(test => test.status === 'pending' || test.status === 'skipped'));
// Last, where nobody has to look for them.
for (const file of report.testResults) {
  if (file.status === 'failed' && file.assertionResults.length === 0)
    process.stdout.write(`failed: ${relative(root, file.name)}: ${cut(file.message)}\n`);
}
for (const test of tests.filter(({ status: outcome }) => outcome === 'failed'))
  process.stdout.write(
    `failed: ${test.file}: ${test.fullName}\n${cut(test.failureMessages.join('\n'))}\n`,
  );
const skipped = report.numPendingTests + report.numTodoTests;
process.stdout.write(
  `${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
);
process.exit(failed === 0 ? 0 : 1);

/** Where the time went: what to look at first when the tests have become slow. */
function listTimes(files) {
  const slowest = files
    .map(file => ({ name: relative(root, file.name), ms: file.endTime - file.startTime }))
    .toSorted((left, right) => right.ms - left.ms)
    .slice(0, 12)
    .map(({ name, ms }) => `${name} ${seconds(ms)}`);
  process.stdout.write(
    `time: building ${seconds(built - begun)}, tests ${seconds(Date.now() - built)}; ` +
      `slowest files: ${slowest.join(', ')}\n`,
  );
}

/** Some hundred lines of a GPU's contract say no more than their number does. */
function listSkipped(skippedTests) {
  const suites = new Map();
  for (const test of skippedTests) {
    const key = `${test.file}: ${test.ancestorTitles.join(' > ')}`;
    suites.set(key, [...(suites.get(key) ?? []), test.title]);
  }
  for (const [suite, titles] of suites) {
    const named = titles.length <= 8 ? titles.join('; ') : `${titles.length} cases`;
    process.stdout.write(`skipped: ${suite}: ${named}\n`);
  }
}

function cut(message = '') {
  const lines = message.split('\n').slice(0, FAILURE_LINES_MAX);
  return lines.map(line => `  ${line.slice(0, 400)}`).join('\n');
}
