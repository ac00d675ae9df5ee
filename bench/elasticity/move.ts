/**
 * Memory moves from an idle process to a busy one: the time from asking to mapped, beside the raw
 * calls on the same extents, and what steps cost in both processes meanwhile.
 */
import type { RawDevice } from '../../native/index.js';
import { withRawDevice } from '../allocator/floor.js';
import type { Tick } from '../harness/progress.js';
import type { Row } from '../report/results.js';
import { quantile, row } from '../report/statistics.js';
import { type Context, placeOf } from './context.js';
import { moveCase, stepCase } from './names.js';
import type { HoldAnswer, StepSamples, TakeAnswer } from './protocol.js';
import { tokenBytesOfModel } from './sizes.js';

const MS_PER_US = 1e-3;
/** A way to move that is so slow is not repeated. */
const ENOUGH_MS = 6000;

interface Moved {
  readonly ms: number;
  readonly rawMs: number;
  readonly held: HoldAnswer;
  readonly taken: TakeAnswer;
}

export async function move(context: Context, tick: Tick): Promise<Row[]> {
  const { moveBytes, moveSpans, moveRequests, moveRepeats } = context.sizes;
  const { poolBytes } = context;
  const rest = { limitBytes: poolBytes, held: false };
  // A borrower gives back down to nothing only for another's guarantee.
  await context.operator.entitle(
    tenant => ({ ...rest, guaranteedBytes: tenant === 'two' ? poolBytes : 0 }),
    poolBytes,
  );
  const rows: Row[] = [];
  const all: Moved[] = [];
  const variants = [
    [1, 1],
    [moveSpans, 1],
    [moveRequests, moveRequests],
  ] as const;
  for (const [index, [spans, requests]] of variants.entries()) {
    const moves: Moved[] = [];
    for (let spent = 0; moves.length < moveRepeats && spent < ENOUGH_MS; ) {
      const moved = await moveOnce(context, spans, requests);
      spent += moved.ms;
      moves.push(moved);
      tick((index + moves.length / moveRepeats) / variants.length);
    }
    rows.push(...rowsOf(moveCase(moveBytes, spans, requests), moves));
    all.push(...moves);
  }
  return [...rows, ...stepRows(all)];
}

async function moveOnce(context: Context, spans: number, requests: number): Promise<Moved> {
  const { processes, sizes } = context;
  const { model } = sizes.ramps;
  const of = (count: number) => ({
    model,
    count,
    tokens: sizes.moveBytes / count / tokenBytesOfModel(model),
    liveSlots: sizes.liveSlots,
  });
  // The taker first: the holder then fills what is left of the pool.
  const taker = processes
    .of('two')
    .perform({ kind: 'take', place: placeOf(context, 'two'), ...of(requests) });
  await taker.ready;
  const holder = processes
    .of('one')
    .perform({ kind: 'hold', place: placeOf(context, 'one'), ...of(spans) });
  await holder.ready;
  holder.go(0);
  taker.go(0);
  const taken = await taker.answer;
  holder.halt();
  const held = await holder.answer;
  const rawMs =
    withRawDevice(context.rig.deviceOptions, raw => moveFloor(raw, held.extents, taken.extents)) *
    MS_PER_US;
  return { ms: taken.endMs - taken.beginMs, rawMs, held, taken };
}

/**
 * Microseconds of the raw calls, one behind the other in one process: the holder unmaps and releases,
 * the owner creates and exports, the taker imports and maps.
 */
export function moveFloor(
  device: RawDevice,
  given: readonly number[],
  taken: readonly number[],
): number {
  const old = place(device, given);
  let us = 0;
  for (const { address, handle, bytes } of old.mappings)
    us += device.unmap(address, bytes) + device.release(handle);
  const fresh = place(device, taken);
  us += fresh.us;
  for (const { address, handle, bytes } of fresh.mappings) {
    device.unmap(address, bytes);
    device.release(handle);
  }
  old.close();
  fresh.close();
  return us;
}

/** Imported extents, mapped one behind the other. Addresses are not a part of the time. */
function place(device: RawDevice, extents: readonly number[]) {
  const total = BigInt(extents.reduce((sum, extent) => sum + extent, 0));
  const range = device.reserve(total);
  let address = range.address;
  let us = 0;
  const mappings = extents.map(extent => {
    const bytes = BigInt(extent);
    const created = device.create(bytes);
    const { handle, exportUs, importUs } = device.exportImport(created.handle, bytes);
    us += created.us + exportUs + importUs + device.release(created.handle);
    us += device.map(address, handle, bytes) + device.access(address, bytes);
    const mapping = { address, handle, bytes };
    address += bytes;
    return mapping;
  });
  return { mappings, us, close: () => device.unreserve(range.address, total) };
}

function rowsOf(name: string, moves: readonly Moved[]): Row[] {
  const counts = (extents: (moved: Moved) => readonly number[]) =>
    moves.map(moved => extents(moved).length);
  return [
    row(
      name,
      'kvspan, asked to mapped',
      'ms',
      moves.map(({ ms }) => ms),
    ),
    row(
      name,
      'raw calls, one after the other',
      'ms',
      moves.map(({ rawMs }) => rawMs),
    ),
    row(
      name,
      'ratio to raw',
      'ratio',
      moves.map(({ ms, rawMs }) => ms / rawMs),
    ),
    row(
      name,
      'extents given back',
      'count',
      counts(({ held }) => held.extents),
    ),
    row(
      name,
      'extents mapped',
      'count',
      counts(({ taken }) => taken.extents),
    ),
  ];
}

/** Steps of the quiet before, and of the time in which memory moved. */
function stepRows(moves: readonly Moved[]): Row[] {
  const of = (steps: (moved: Moved) => StepSamples, moving: boolean): number[] =>
    moves.flatMap(moved => {
      const { beginMs, endMs } = moved.taken;
      const { atMs, us } = steps(moved);
      return [...us].filter((_, i) => {
        const at = atMs[i] as number;
        return moving ? at >= beginMs && at <= endMs : at < beginMs;
      });
    });
  const rows = (who: string, steps: (moved: Moved) => StepSamples): Row[] =>
    [false, true].flatMap(moving => {
      const samples = of(steps, moving);
      if (samples.length === 0) return [];
      const when = moving ? 'while memory moves' : 'before';
      return [
        row(stepCase, `${who}, ${when}: p50`, 'us', [quantile(samples, 0.5)]),
        row(stepCase, `${who}, ${when}: p99`, 'us', [quantile(samples, 0.99)]),
        row(stepCase, `${who}, ${when}: steps`, 'count', [samples.length]),
      ];
    });
  return [
    ...rows('in the process that gives', ({ held }) => held.steps),
    ...rows('in the process that takes', ({ taken }) => taken.steps),
  ];
}
