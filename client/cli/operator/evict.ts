/** `kvspan evict`: a session gets nothing more; what it has it keeps until it gives back or ends. */
import { showBytes } from '../../../proto/size.js';
import type { SessionView } from '../../typescript/admin-views.js';
import { type CommonOptions, ExitCode, printJson, withAdmin } from './context.js';
import { shown } from './render.js';

export interface EvictOptions extends CommonOptions {
  readonly kill?: boolean;
}

/** A process that gave no name is called by its pid: that need not be said twice. */
export function whoIs({ name, pid }: Pick<SessionView, 'name' | 'pid'>): string {
  const process = `pid ${pid}`;
  return name === process ? process : `${shown(name)}, ${process}`;
}

export function evict(sessionId: bigint, options: EvictOptions): Promise<number> {
  return withAdmin('evict', options, async admin => {
    const answer = await admin.evict(sessionId, { kill: options.kill ?? false });
    const { session, killed } = answer;
    if (options.json === true) {
      printJson(answer);
      return ExitCode.done;
    }
    const held = showBytes(session.heldBytes);
    const rest = killed
      ? `its process is being ended; its ${held} come back when it has gone`
      : `it still holds ${held}, until its process gives them back or ends`;
    process.stdout.write(`session ${sessionId} (${whoIs(session)}) is evicted; ${rest}\n`);
    return ExitCode.done;
  });
}
