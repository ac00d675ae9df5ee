/** Sizes as people write them. */

/** Bytes, or a share of a whole that is not known yet (the device, the pool). */
export type Size = { readonly bytes: bigint } | { readonly percent: number };

export const SIZE_FORMS =
  'bytes ("4294967296"), a size with a unit ("512MiB", "40GiB", "1.5TiB") or a share ("80%")';

const unitBytes: Readonly<Record<string, bigint>> = {
  '': 1n,
  B: 1n,
  KiB: 2n ** 10n,
  MiB: 2n ** 20n,
  GiB: 2n ** 30n,
  TiB: 2n ** 40n,
};

const WITH_UNIT = /^([0-9]{1,20})(?:\.([0-9]{1,6}))?\s*(B|KiB|MiB|GiB|TiB|)$/;
const SHARE = /^([0-9]{1,3}(?:\.[0-9]{1,2})?)\s*%$/;
const PERCENT_MAX = 100;
/** Shares are applied in hundredths of a per cent, in integers: a pool of petabytes stays exact. */
const PARTS_PER_PERCENT = 100n;

/** Null: not a size. Zero is not one either. */
export function parseSize(text: string): Size | null {
  const share = SHARE.exec(text.trim());
  if (share) {
    const percent = Number(share[1]);
    return percent > 0 && percent <= PERCENT_MAX ? { percent } : null;
  }
  const match = WITH_UNIT.exec(text.trim());
  if (!match) return null;
  const [, whole = '', fraction = '', unitName = ''] = match;
  const unit = unitBytes[unitName] ?? 1n;
  if (fraction !== '' && unit === 1n) return null;
  const bytes =
    BigInt(whole) * unit + (BigInt(fraction || '0') * unit) / 10n ** BigInt(fraction.length);
  return bytes > 0n && bytes < 2n ** 63n ? { bytes } : null;
}

/** The size in bytes, a share being one of `whole`. */
export function resolveSize(size: Size, whole: bigint): bigint {
  if ('bytes' in size) return size.bytes;
  const parts = BigInt(Math.round(size.percent * Number(PARTS_PER_PERCENT)));
  return (whole * parts) / (PARTS_PER_PERCENT * BigInt(PERCENT_MAX));
}

const unitsDescending = ['TiB', 'GiB', 'MiB', 'KiB'] as const;

/** For people: "4.0 GiB". */
export function showBytes(bytes: bigint): string {
  const unit = unitsDescending.find(name => bytes >= (unitBytes[name] ?? 1n));
  if (unit === undefined) return `${bytes} B`;
  return `${(Number(bytes) / Number(unitBytes[unit])).toFixed(1)} ${unit}`;
}
