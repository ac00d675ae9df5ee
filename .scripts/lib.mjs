// What the scripts beside this file share: running commands, and finding out whether work is due.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const bin = name => join(root, 'node_modules', '.bin', name);

/** Runs a command; its output is shown only if it fails, or all along with `show`. */
export async function run(command, args, { show = false, env = process.env, cwd = root } = {}) {
  const child = spawn(command, args, {
    cwd,
    env,
    stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
  });
  let output = '';
  if (!show) {
    child.stdout.on('data', chunk => (output += chunk));
    child.stderr.on('data', chunk => (output += chunk));
  }
  const status = await new Promise(resolve => {
    child.on('error', error => {
      output += `${error.message}\n`;
      resolve(127);
    });
    child.on('close', (code, signal) => resolve(signal ? 128 : (code ?? 1)));
  });
  return { status, output };
}

/** As run, but ends this process with a sentence when the command fails. */
export async function must(what, command, args, options = {}) {
  const { status, output } = await run(command, args, options);
  if (status !== 0) {
    process.stderr.write(
      `${output}\nkvspan: ${what} failed (${[command, ...args].join(' ')}: status ${status})\n`,
    );
    if (options.hint) process.stderr.write(`${options.hint}\n`);
    process.exit(1);
  }
  return output;
}

/** The newest modification time below the given folders and files, in ms. */
export function newest(paths, accept = () => true) {
  let latest = 0;
  const visit = path => {
    if (!existsSync(path)) return;
    const stat = statSync(path);
    if (stat.isDirectory()) {
      for (const entry of readdirSync(path)) if (entry !== 'node_modules') visit(join(path, entry));
    } else if (accept(path)) {
      latest = Math.max(latest, stat.mtimeMs);
    }
  };
  for (const path of paths) visit(join(root, path));
  return latest;
}

export const mtime = path =>
  existsSync(join(root, path)) ? statSync(join(root, path)).mtimeMs : 0;

/** Marks a product as up to date: a build that finds nothing to relink leaves its time as it was. */
export const touch = path => utimesSync(join(root, path), new Date(), new Date());
