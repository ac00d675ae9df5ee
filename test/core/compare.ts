import type { Effect } from '../../daemon/core/types.js';
import { pages } from './support.js';

/** What an operation of the ledger, or of the model, came to: an answer, or the code of a refusal. */
export interface Outcome {
  readonly value: unknown;
  readonly refused: string | null;
}

/** An answer with effects beside it, as the ledger gives it. */
interface Told {
  readonly returned?: {
    readonly extentCount: number;
    readonly returnedBytes: bigint;
    readonly heldBytes: bigint;
  };
  readonly cancelled?: boolean;
  /** Of an adoption. */
  readonly heldBytes?: bigint;
  readonly effects?: readonly Effect[];
}

type Answer = Told | Effect[] | string | number | bigint | boolean | null | undefined;

/** Does it; whatever is thrown that is no refusal is thrown on. */
export function outcome(act: () => unknown, isRefusal: (error: unknown) => boolean): Outcome {
  try {
    return { value: act(), refused: null };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    return { value: null, refused: (error as { code: string }).code };
  }
}

export function effectsOf(value: unknown): readonly Effect[] {
  if (Array.isArray(value)) return value as Effect[];
  return (value as Told | null)?.effects ?? [];
}

/** What is answered beside the effects, as text. */
export function answerOf(value: unknown): string {
  const answer = value as Answer;
  if (answer === null || answer === undefined || Array.isArray(answer)) return '';
  if (typeof answer !== 'object') return String(answer);
  const { returned, cancelled, heldBytes } = answer;
  if (heldBytes !== undefined) return String(heldBytes);
  return returned === undefined
    ? String(cancelled)
    : `${returned.extentCount} ${returned.returnedBytes} ${returned.heldBytes}`;
}

/** The model counts pages, the ledger bytes: an answer of the model as the ledger would give it. */
export function toBytes(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { count, pages: given, held } = value as { count: number; pages: number; held: number };
  return { returned: { extentCount: count, returnedBytes: pages(given), heldBytes: pages(held) } };
}

/** What must follow from the rules; whom to ask, and whose promises to cut, is policy. */
export const isLaw = (effect: Effect): boolean =>
  effect.kind === 'grant' ||
  effect.kind === 'refuse' ||
  effect.kind === 'promised' ||
  (effect.kind === 'cut' && effect.reason === 'lapsed');

/** As which an effect is counted. */
export function nameOf(effect: Effect): string {
  if (effect.kind === 'refuse') return `refused later ${effect.error.code}`;
  if (effect.kind === 'cut') return `cut ${effect.reason}`;
  return effect.kind === 'reclaim' && effect.idleOnly ? 'reclaim of idle memory' : effect.kind;
}

/** An effect in the words of the model's `said`. */
export function tell(effect: Effect): string {
  if (effect.kind === 'refuse')
    return `refuse ${effect.session} ${effect.grant} ${effect.error.code}`;
  if (effect.kind === 'promised')
    return `promised ${effect.session} ${effect.promise} ${effect.bytes / pages(1)}`;
  if (effect.kind === 'cut')
    return `cut ${effect.session} ${effect.promise} ${effect.leftBytes} ${effect.reason}`;
  if (effect.kind !== 'grant') return `${effect.kind} ${effect.session}`;
  const extents = effect.extents.map(({ id, bytes }) => `${id}/${bytes / pages(1)}`);
  return `grant ${effect.session} ${effect.grant} ${extents.join(' ')}`;
}

export function same(what: string, got: string | bigint, expected: string | bigint): void {
  if (got !== expected) fail(`${what}: the ledger has <${got}>, the model <${expected}>`);
}

export function fail(message: string): never {
  throw new Error(message);
}
