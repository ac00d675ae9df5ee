/** `kvspan page`: where the live page is. The daemon leaves its address to its own user alone. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defaultSocketDirectory, PAGE_FILE } from '../../../proto/paths.js';
import { type CommonOptions, ExitCode, printJson } from './context.js';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no daemon serves a page there (none runs, or it was started with --page false)',
  EACCES: "only the daemon's own user may see it",
};

export function page(options: CommonOptions): Promise<number> {
  const directory = options.socketDirectory ?? defaultSocketDirectory();
  try {
    const url = readFileSync(join(directory, PAGE_FILE), 'utf8').trim();
    if (options.json === true) printJson({ url });
    else process.stdout.write(`${url}\n`);
    return Promise.resolve(ExitCode.done);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    process.stderr.write(`kvspan page: ${directory}: ${reasons[code] ?? String(error)}\n`);
    return Promise.resolve(code === 'EACCES' ? ExitCode.notPermitted : ExitCode.unavailable);
  }
}
