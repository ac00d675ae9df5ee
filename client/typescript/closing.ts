/** The end of a session: everything back to the daemon while the stream can still say so. */
import { now, pause, within } from './deadline.js';
import type { Grants } from './grants.js';
import type { Link } from './link.js';
import type { Memory } from './mapping/memory.js';
import type { ReturnPath, Returns } from './returns.js';

/** How to reach the daemon; looked at anew each time, since an eviction changes it. */
export interface Ways {
  /** Null: what is on its way cannot be asked about any more. */
  readonly link: Link | null;
  /** Null: nobody is there to take what is given back. */
  readonly returnPath: ReturnPath | null;
}

/** How long closing waits for the daemon, in each of its steps. */
export const CLOSE_TIMEOUT_MS = 2_000;
/** Between looks at what is still held. */
const CLOSE_PAUSE_MS = 5;

/**
 * Gives back until nothing is held and all of it is acknowledged, as long as it gets less: memory
 * may be on its way out by other hands (the mapper's, above high water), and then is not here to
 * be given, but still on the account.
 */
export async function giveBackAll(
  memory: Memory,
  ways: Ways,
  grants: Grants,
  returns: Returns,
): Promise<void> {
  let least = memory.stats().heldBytes;
  for (let until = now() + CLOSE_TIMEOUT_MS; now() < until; ) {
    const { link, returnPath } = ways;
    if (returnPath?.open !== true) return;
    if (link !== null) await grants.settleAll(link, CLOSE_TIMEOUT_MS);
    await memory.giveBack(memory.stats().heldBytes);
    // What could not be told before: no stream comes any more that would tell it again.
    returns.resume();
    const acknowledged = returns.acknowledged();
    await within(acknowledged, CLOSE_TIMEOUT_MS, 'returning everything').catch(() => undefined);
    const { heldBytes } = memory.stats();
    if (heldBytes === 0n && (await allTold(memory, returns))) return;
    if (heldBytes < least) until = now() + CLOSE_TIMEOUT_MS;
    least = heldBytes;
    await pause(CLOSE_PAUSE_MS);
  }
}

/**
 * Whether the daemon has heard of everything that was released. Memory is off the native books a
 * moment before its release is told of here: a pause waits for releases under way, of which
 * telling is the last act, and what is asked of the native core after that is answered after it.
 */
async function allTold(memory: Memory, returns: Returns): Promise<boolean> {
  memory.pauseReleases();
  memory.resumeReleases();
  await memory.giveBack(0n);
  return returns.told;
}
