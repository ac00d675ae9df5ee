/**
 * Every setting of the daemon: its type, limits, default and help, in one schema. The command
 * line, the environment's names and the file's keys are all derived from it.
 */
import { z } from 'zod';
import { parseSize, SIZE_FORMS, type Size } from '../../proto/size.js';

const INT32_MAX = 2 ** 31 - 1;
const KIB = 2 ** 10;
const MIB = 2 ** 20;

/** Text (a flag, the environment) and numbers (a file) are both taken. */
const whole = (min: number, max: number) =>
  z
    .union(
      [
        z.number(),
        z
          .string()
          .regex(/^-?[0-9]{1,15}$/, 'a whole number')
          .transform(Number),
      ],
      {
        error: () => `a whole number ${min} .. ${max}`,
      },
    )
    .refine(
      value => Number.isInteger(value) && value >= min && value <= max,
      `a whole number ${min} .. ${max}`,
    );

const size = z
  .union([z.string(), z.number(), z.bigint()], { error: () => SIZE_FORMS })
  .transform((value, context): Size => {
    const parsed = parseSize(String(value));
    if (parsed !== null) return parsed;
    context.addIssue({ code: 'custom', message: SIZE_FORMS });
    return z.NEVER;
  });

const choice = <const Values extends readonly [string, ...string[]]>(values: Values) =>
  z.enum(values, { error: () => `one of ${values.join(', ')}` });

const text = z.string({ error: () => 'text' }).min(1, 'text that is not empty');
const optionalText = text.nullable().default(null);

/** `0` is a size here: no guarantee. */
const guarantee = z.union([
  z.literal([0, '0']).transform((): Size | null => null),
  size.transform((given): Size | null => given),
]);

export const WEB_ADDRESS_DEFAULT = '127.0.0.1:9477';
const WEB_ADDRESS_FORMS = 'host:port, [ipv6]:port or off';

/** `off`: nothing listens. Port 0: any that is free. */
const webAddress = z.string({ error: () => WEB_ADDRESS_FORMS }).transform((value, context) => {
  if (value === 'off') return value;
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(value) ?? [];
  const host = bracketed ?? plain;
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue({ code: 'custom', message: WEB_ADDRESS_FORMS });
  return z.NEVER;
});

/** Text (a flag, the environment) and booleans (a file). */
const flag = z.union(
  [z.boolean(), z.enum(['true', 'false']).transform(value => value === 'true')],
  { error: () => 'true, false' },
);

const someone = z.union([text, whole(0, 2 ** 32 - 2)], { error: () => 'a name or a number' });

const tenantSchema = z.strictObject({
  name: text,
  /** None, and no groups: whoever belongs to no other tenant. */
  users: z.array(someone).default([]),
  groups: z.array(someone).default([]),
  clients: z.array(text).default([]),
  guaranteed: guarantee.nullable().default(null),
  limit: size.nullable().default(null),
  weight: whole(1, 1_000_000).default(1),
  guarantee: choice(['lent', 'held']).default('lent'),
});

export type TenantConfig = z.output<typeof tenantSchema>;

export const configSchema = z.strictObject({
  socketDirectory: text.describe('directory of the sockets; made if it is not there'),
  socketGroup: optionalText.describe(
    'group (name or number) that may connect, besides the own user',
  ),
  backend: choice(['auto', 'host', 'cuda'])
    .default('auto')
    .describe('where the memory is; auto: cuda if it works, else host'),
  ordinal: whole(0, 255).default(0).describe('which GPU'),
  cudaLibrary: optionalText.describe("path of libcuda; by default the system's libcuda.so.1"),
  poolBytes: size
    .nullable()
    .default(null)
    .describe(
      "memory to serve, as 40GiB or 80%; default: 90% of a GPU's free memory, " +
        'on the host backend a quarter of what is available, at most 4GiB',
    ),
  sessionLimitBytes: size
    .default({ percent: 100 })
    .describe('the most that one session may hold, as 10GiB or a share of the pool'),
  sessionsMax: whole(1, 4096).default(256).describe('serving processes at once'),
  cachesPerSessionMax: whole(1, 65_536).default(64).describe('caches of one session'),
  grantsInFlightMax: whole(1, 65_536)
    .default(64)
    .describe('grants of one session that wait or are on their way'),
  extentsPerGrantMax: whole(1, 65_536).default(16_384).describe('extents of one grant'),
  grantWaitMsMax: whole(0, INT32_MAX)
    .default(60_000)
    .describe('the longest a grant may wait for memory'),
  ackTimeoutMs: whole(1, INT32_MAX)
    .default(10_000)
    .describe('time a client has to import a batch of extents; then it is disconnected'),
  helloTimeoutMs: whole(1, INT32_MAX)
    .default(5_000)
    .describe('time a new connection has to say hello'),
  messageBytesMax: whole(4096, 64 * MIB)
    .default(256 * KIB)
    .describe(
      'the largest gRPC message taken: reading 256KiB of extent ids holds up all others 50 ms',
    ),
  requestsInFlightMax: whole(1, 65_536)
    .default(256)
    .describe('requests of one stream that are not answered yet'),
  deviceCheckMs: whole(0, INT32_MAX)
    .default(5_000)
    .describe('how often the books are compared with what the device says; 0: never'),
  shutdownTimeoutMs: whole(0, INT32_MAX)
    .default(5_000)
    .describe('time that grants on their way have when the daemon stops'),
  webAddress: webAddress
    .nullable()
    .default(null)
    .describe(
      'host:port of the metrics and the live page, or off; ' +
        `default: ${WEB_ADDRESS_DEFAULT}, or any free port if that is taken`,
    ),
  page: flag.default(true).describe('whether there is a live page beside the metrics'),
  tenants: z
    .array(tenantSchema, { error: () => 'a list of [[tenants]] tables, in a file' })
    .default([])
    .describe('who shares the pool: [[tenants]] tables, in a file'),
  logLevel: choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('what is logged'),
  logFile: optionalText.describe('file to log to; by default standard error'),
  logFormat: choice(['json', 'pretty'])
    .default('json')
    .describe('json for machines, pretty for people'),
});

export type Config = z.output<typeof configSchema>;
export type ConfigKey = keyof Config;

export const configKeys = Object.keys(configSchema.shape) as ConfigKey[];

/** What a flag or a variable can say: not the tenants, which are tables. */
export const optionKeys = configKeys.filter(key => key !== 'tenants');

export interface OptionHelp {
  readonly key: ConfigKey;
  /** For a command line: `--pool-bytes <value>`. */
  readonly flag: string;
  readonly env: string;
  /** What it is, then what is allowed, the default and the variable. */
  readonly help: string;
}

const kebab = (key: string): string => key.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`);

/** The directory's variable is the clients' too, and older than this schema: `proto/paths.ts`. */
const envExceptions: Partial<Record<ConfigKey, string>> = { socketDirectory: 'KVSPAN_SOCKET_DIR' };

export const envName = (key: ConfigKey): string =>
  envExceptions[key] ?? `KVSPAN_${kebab(key).replaceAll('-', '_').toUpperCase()}`;

export const flagName = (key: ConfigKey): string => `--${kebab(key)}`;

/**
 * What a refusal would call allowed: the schema says it once, in its errors. Empty for free text and
 * sizes: their help has an example.
 */
function allowedFor(key: ConfigKey): string {
  const said = configSchema.shape[key].safeParse([]).error?.issues[0]?.message ?? '';
  const [, range] = /^(?:a whole number|one of) (.+)$/.exec(said) ?? [];
  return range ?? (said === 'true, false' ? said : '');
}

/** Empty where nothing stands for itself: the help says then what is done. */
function defaultOf(key: ConfigKey): string {
  const { data } = configSchema.shape[key].safeParse(undefined);
  if (data === undefined || data === null) return '';
  if (typeof data !== 'object') return String(data);
  return 'percent' in data ? `${data.percent}%` : '';
}

/** `[1 .. 4096; default: 256; KVSPAN_SESSIONS_MAX]` */
function factsOf(key: ConfigKey): string {
  const byDefault = defaultOf(key);
  const facts = [allowedFor(key), byDefault === '' ? '' : `default: ${byDefault}`, envName(key)];
  return `[${facts.filter(fact => fact !== '').join('; ')}]`;
}

/** One line per setting, for a command line to be made of. */
export const optionList: readonly OptionHelp[] = optionKeys.map(key => ({
  key,
  flag: `${flagName(key)} <value>`,
  env: envName(key),
  help: `${configSchema.shape[key].description ?? ''} ${factsOf(key)}`,
}));
