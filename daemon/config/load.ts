/**
 * Settings from four places. Flags win over the environment, that over the file, that over the
 * defaults. Whatever is wrong is said with key, source, value and what is allowed.
 */
import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { defaultSocketDirectory } from '../../proto/paths.js';
import { StartupError } from '../exit-codes.js';
import {
  configKeys,
  configSchema,
  envName,
  optionKeys,
  flagName,
  type Config,
  type ConfigKey,
} from './schema.js';
import { nearest } from './suggest.js';

/** Flags as a command line gives them: by key; absent and undefined are the same. */
export type Overrides = Readonly<
  Partial<
    Record<Exclude<ConfigKey, 'tenants'> | 'config', string | number | bigint | null | undefined>
  > & { tenants?: readonly unknown[] | undefined }
>;

interface Setting {
  readonly value: unknown;
  /** For people: `flag --pool-bytes`, `environment KVSPAN_POOL_BYTES`, `file /etc/kvspan.toml`. */
  readonly source: string;
}

type Settings = Map<ConfigKey, Setting>;

/** A variable this close to a known one is a slip of the finger, not somebody else's variable. */
const ENV_SLIP_DISTANCE_MAX = 2;
const OTHER_VARIABLES = ['KVSPAN_ADDON', 'KVSPAN_CONFIG'];

const isKey = (key: string): key is ConfigKey => (configKeys as readonly string[]).includes(key);

const refuse = (message: string, hint = ''): never => {
  throw new StartupError('config', message, hint);
};

function unknownKey(key: string, source: string): never {
  const suggestion = nearest(key, configKeys);
  return refuse(
    `${source}: unknown key "${key}"`,
    suggestion ? `did you mean "${suggestion.name}"?` : `known: ${configKeys.join(', ')}`,
  );
}

function fromFlags(overrides: Overrides): Settings {
  const settings: Settings = new Map();
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined || key === 'config') continue;
    if (!isKey(key)) unknownKey(key, 'flags');
    settings.set(key, { value, source: `flag ${flagName(key)}` });
  }
  return settings;
}

function fromEnvironment(env: NodeJS.ProcessEnv): Settings {
  const byName = new Map(optionKeys.map(key => [envName(key), key]));
  const settings: Settings = new Map();
  for (const [name, value] of Object.entries(env)) {
    if (
      !name.startsWith('KVSPAN_') ||
      value === undefined ||
      value === '' ||
      OTHER_VARIABLES.includes(name)
    )
      continue;
    const key = byName.get(name);
    if (key !== undefined) settings.set(key, { value, source: `environment ${name}` });
    else refuseSlip(name, [...byName.keys()]);
  }
  return settings;
}

function refuseSlip(name: string, known: readonly string[]): void {
  const close = nearest(name, known);
  if (close && close.distance <= ENV_SLIP_DISTANCE_MAX)
    refuse(`environment: unknown variable ${name}`, `did you mean ${close.name}?`);
}

function fromFile(path: string): Settings {
  const source = `file ${path}`;
  const settings: Settings = new Map();
  for (const [key, value] of Object.entries(readToml(path))) {
    if (!isKey(key)) unknownKey(key, source);
    settings.set(key, { value, source });
  }
  return settings;
}

function readToml(path: string): Record<string, unknown> {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw new StartupError(
      'config',
      `file ${path}: ${why}`,
      'give a readable TOML file, or none',
      error,
    );
  }
}

function show(value: unknown): string {
  return typeof value === 'bigint' ? value.toString() : (JSON.stringify(value) ?? String(value));
}

/** As people write it: `tenants[1].weight`. */
const placeOf = (path: readonly PropertyKey[]): string =>
  path
    .map((part, at) =>
      typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${String(part)}`,
    )
    .join('');

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? at[part as keyof typeof at] : undefined),
    value,
  );
}

/** Throws a StartupError of reason `config`. */
export function loadConfig(
  overrides: Overrides = {},
  env: NodeJS.ProcessEnv = process.env,
): Config {
  const file = overrides.config ?? (env['KVSPAN_CONFIG'] || null);
  const settings: Settings = new Map([
    ...(file === null ? [] : fromFile(String(file))),
    ...fromEnvironment(env),
    ...fromFlags(overrides),
  ]);
  const given = Object.fromEntries([...settings].map(([key, setting]) => [key, setting.value]));
  const result = configSchema.safeParse({ socketDirectory: defaultSocketDirectory(env), ...given });
  if (result.success) return result.data;
  const lines = result.error.issues.map(issue => {
    const key = String(issue.path[0]) as ConfigKey;
    const setting = settings.get(key);
    const [where, value] = [placeOf(issue.path), valueAt(setting?.value, issue.path.slice(1))];
    return `${setting?.source ?? 'default'}: ${where} is ${show(value)}, allowed: ${issue.message}`;
  });
  return refuse(lines.join('; '), 'kvspan serve --help lists every key');
}
