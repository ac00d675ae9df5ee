/** Which known name was meant. */

export interface Suggestion {
  readonly name: string;
  /** Insertions, deletions and replacements from the given name to it, letter case ignored. */
  readonly distance: number;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}

const plain = (name: string): string => name.toLowerCase().replace(/[-_]/g, '');

/** Null: nothing is near enough to be what was meant. */
export function nearest(given: string, known: readonly string[]): Suggestion | null {
  const farthest = Math.max(2, Math.floor(given.length / 3));
  const ranked = known
    .map(name => ({ name, distance: editDistance(plain(given), plain(name)) }))
    .toSorted((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= farthest ? best : null;
}
