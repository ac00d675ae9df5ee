// Everything that can be said of the code without running it: format, lint (with types), layering,
// types, generated files, proto style. `npm run check`; part of .ci/run.
import { run, bin } from './lib.mjs';
import { setup } from './setup.mjs';

const checks = [
  ['format', bin('biome'), ['format', '.']],
  ['types', bin('tsc'), ['-p', 'tsconfig.json', '--noEmit']],
  ['lint', bin('oxlint'), ['--type-aware', '--deny-warnings', '.']],
  ['proto style', bin('buf'), ['lint', 'proto']],
  ['generated files', process.execPath, ['proto/generate.mjs', '--check']],
];

await setup({ quiet: true });
let failed = 0;
for (const [name, command, args] of checks) {
  const { status, output } = await run(command, args);
  process.stdout.write(`${status === 0 ? 'ok  ' : 'FAIL'} ${name}\n`);
  if (status !== 0) {
    process.stdout.write(output);
    failed += 1;
  }
}
process.exitCode = failed === 0 ? 0 : 1;
