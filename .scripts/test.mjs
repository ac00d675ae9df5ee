// `npm test`: builds everything the tests need, runs them, ends with a plain line
// `N passed, N failed, N skipped`. Arguments go to vitest (`npm test -- test/core`).
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bin, root, run } from './lib.mjs';
import { python } from './python.mjs';
import { sanitized, setup } from './setup.mjs';

const results = join(root, 'build/test-results.json');
const say = line => process.stderr.write(`kvspan: ${line} ...\n`);

await setup({ tests: true });
await sanitized(say, 'address,undefined');
await sanitized(say, 'thread');
await python(say);

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
for (const file of report.testResults) {
  for (const test of file.assertionResults) {
    if (test.status === 'pending' || test.status === 'skipped')
      process.stdout.write(`skipped: ${test.fullName}\n`);
  }
}
const skipped = report.numPendingTests + report.numTodoTests;
process.stdout.write(
  `${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`,
);
process.exit(failed === 0 ? 0 : 1);
