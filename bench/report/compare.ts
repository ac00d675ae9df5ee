/**
 * Sentences that figures make. Every comparison is made, whichever way it comes out, and all are set
 * alike: what is worse stands in the same list and in the same type as what is better.
 */
import { say } from './figures.js';
import type { Row } from './results.js';
import { figure } from './table.js';

/** Medians that differ by less than this say nothing. */
export const EQUAL_WITHIN = 0.01;
/** From here on people say "times", not per cent. */
const TIMES_FROM = 1.5;

export interface Finding {
  /** `faster`, `slower`, `equal`; of what is no time `better`, `worse`; of a target `met`, `missed`. */
  readonly verdict: string;
  readonly text: string;
}

export interface Sides {
  /** What is compared, e.g. `decode, 64 x 4096`. */
  readonly about: string;
  readonly ours: { readonly name: string; readonly row: Row };
  readonly theirs: { readonly name: string; readonly row: Row };
}

/** Of two times, or of anything of which less is better. */
export function compareTimes(sides: Sides): Finding {
  return compare(sides, ['faster', 'slower'], sides.ours.row.median, sides.theirs.row.median);
}

/** Of anything of which more is better. */
export function compareAmounts(sides: Sides): Finding {
  return compare(sides, ['better', 'worse'], sides.theirs.row.median, sides.ours.row.median);
}

function compare(
  { about, ours, theirs }: Sides,
  [good, bad]: readonly [string, string],
  cost: number,
  otherCost: number,
): Finding {
  const figures = `${ours.name} ${saidOf(ours.row)}; ${theirs.name} ${saidOf(theirs.row)}`;
  const verdict = isEqual(cost, otherCost) ? 'equal' : cost < otherCost ? good : bad;
  const by = verdict === 'equal' ? 'equal' : `${difference(cost, otherCost)} ${verdict}`;
  return { verdict, text: `${about}: ${figures}: **${by}**.` };
}

const saidOf = ({ median, unit }: Row): string => say(median, unit);

function isEqual(a: number, b: number): boolean {
  return Math.abs(a - b) <= EQUAL_WITHIN * Math.max(Math.abs(a), Math.abs(b));
}

/** `4.2 %`, or `3.1 times`. */
function difference(cost: number, otherCost: number): string {
  const ratio = cost < otherCost ? otherCost / cost : cost / otherCost;
  if (!Number.isFinite(ratio)) return 'infinitely';
  if (ratio >= TIMES_FROM) return `${figure(ratio)} times`;
  return `${figure(100 * (ratio - 1))} %`;
}

export interface Target {
  readonly about: string;
  readonly row: Row;
  /** The median may be no more, or no less, than this. */
  readonly most?: number;
  readonly least?: number;
}

/** Whether a figure is what was set out for. */
export function checkTarget({ about, row, most, least }: Target): Finding {
  const met =
    (most === undefined || row.median <= most) && (least === undefined || row.median >= least);
  const bounds = [
    ...(most === undefined ? [] : [`at most ${say(most, row.unit)}`]),
    ...(least === undefined ? [] : [`at least ${say(least, row.unit)}`]),
  ];
  const verdict = met ? 'met' : 'missed';
  const text = `target: ${about}: ${saidOf(row)}, wanted ${bounds.join(' and ')}: **${verdict}**.`;
  return { verdict, text };
}

/** One line that counts, before the list that says which. */
export function tally(findings: readonly Finding[], subject: string): string {
  const count = (verdicts: readonly string[]) =>
    findings.filter(({ verdict }) => verdicts.includes(verdict)).length;
  const targets = count(['met', 'missed']);
  const compared =
    `Of ${findings.length - targets} comparisons ${subject} is better in ${count(['faster', 'better'])}, ` +
    `equal in ${count(['equal'])}, worse in ${count(['slower', 'worse'])}.`;
  if (targets === 0) return compared;
  const told = `Of ${targets} targets ${count(['met'])} are met, ${count(['missed'])} missed.`;
  return findings.length === targets ? told : `${told} ${compared}`;
}
