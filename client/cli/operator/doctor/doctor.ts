/** `kvspan doctor`: whether this machine can serve, and what to do where it cannot. */
import { defaultSocketDirectory } from '../../../../proto/paths.js';
import { type CommonOptions, ExitCode, printJson } from '../context.js';
import { checks, type Finding } from './checks.js';

const marks: Readonly<Record<Finding['state'], string>> = { ok: 'ok  ', note: 'note', bad: 'BAD ' };

export async function doctor(options: CommonOptions): Promise<number> {
  const directory = options.socketDirectory ?? defaultSocketDirectory();
  const findings: Finding[] = [];
  for (const check of checks) findings.push(await check(directory));
  if (options.json === true) printJson(findings);
  else process.stdout.write(`${findings.map(line).join('\n')}\n`);
  return findings.some(({ state }) => state === 'bad') ? ExitCode.refused : ExitCode.done;
}

function line({ check, state, found, advice }: Finding): string {
  const what = `${marks[state]}  ${check.padEnd(18)} ${found}`;
  return advice === '' ? what : `${what}\n${' '.repeat(25)}-> ${advice}`;
}
