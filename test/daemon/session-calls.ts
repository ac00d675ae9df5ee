import { call, TestStream, withToken, type ScriptedDaemon } from './harness.js';

export const geometry = {
  layout: 'LAYOUT_TOKEN_MAJOR',
  layersCount: 2,
  kvHeadsCount: 2,
  headDimCount: 64,
  dtype: 'DTYPE_BF16',
  slotsCount: 4,
  maxTokensCount: 4096,
} as const;

/** A session that has said hello on the extent channel, and its calls to the service. */
export function openSession(daemon: ScriptedDaemon) {
  const { connection, token } = daemon.channel.hello();
  const metadata = withToken(token);
  const { memory, admin } = daemon.clients;
  return {
    connection,
    token,
    stream: () => TestStream.open(memory, token),
    acquire: (request: object, ms?: number) => call(memory, 'acquire', request, metadata, ms),
    giveBack: (extentIds: string[]) => call(memory, 'return', { extentIds }, metadata),
    createCache: (request: object) => call(memory, 'createCache', request, metadata),
    destroyCache: (cacheId: string) => call(memory, 'destroyCache', { cacheId }, metadata),
    placeCache: (request: object) => call(memory, 'placeCache', request, metadata),
    adopt: (request: object) => call(memory, 'adopt', request, metadata),
    pool: () => call(admin, 'getPool', {}),
  };
}

/** Polls until it holds: what is waited for happens in another turn of the loop. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error('did not come true in time');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}

/** Ids of all extents that the channel was told to send: the ledger's numbering is its own affair. */
export const sentIds = (daemon: ScriptedDaemon): string[] => daemon.channel.sent.map(String);
