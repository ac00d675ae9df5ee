/** The shapes of cache that the demo knows by name, and the notation for any other. */
import { badField } from '../../proto/errors.js';

export interface DemoGeometry {
  readonly layout: 'token-major' | 'layer-major';
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** The types that the CPU kernel computes in. */
  readonly dtype: 'bf16' | 'fp32';
  readonly queryHeads: number;
  /** The longest request; null: the trace's longest, rounded up to a power of two. */
  readonly maxTokens: number | null;
}

const base = { layout: 'token-major', dtype: 'bf16', maxTokens: null } as const;

/** `tiny`: 1 KiB a token, so that a laptop can write and verify whole traces. */
export const presets: Readonly<Record<string, DemoGeometry>> = {
  tiny: { ...base, layers: 2, kvHeads: 2, headDim: 64, queryHeads: 4 },
  small: { ...base, layers: 4, kvHeads: 4, headDim: 128, queryHeads: 16 },
  'llama-8b': { ...base, layers: 32, kvHeads: 8, headDim: 128, queryHeads: 32 },
};

/** The longest request that fits every address of a cache's slot as an int32 count of tokens. */
const MAX_TOKENS_LIMIT = 2 ** 30;

const numberFields = {
  layers: 1024,
  kvHeads: 1024,
  headDim: 1024,
  queryHeads: 1024,
  maxTokens: MAX_TOKENS_LIMIT,
} as const;

/**
 * A preset's name, or `field=value,...` over the fields of DemoGeometry; what is not named is as
 * in `tiny`, and `queryHeads` is twice `kvHeads`.
 */
export function parseGeometry(text: string): DemoGeometry {
  const preset = Object.hasOwn(presets, text) ? presets[text] : undefined;
  if (preset !== undefined) return preset;
  if (!text.includes('=')) {
    throw badField(
      'geometry',
      text,
      `${Object.keys(presets).join(', ')}, or layers=N,kvHeads=N,...`,
    );
  }
  const given: Record<string, unknown> = {};
  for (const part of text.split(',')) {
    const [field = '', value = ''] = part.split('=', 2).map(side => side.trim());
    given[field] = parseField(field, value);
  }
  const tiny = presets['tiny'] as DemoGeometry;
  const kvHeads = (given['kvHeads'] as number | undefined) ?? tiny.kvHeads;
  const geometry = { ...tiny, queryHeads: kvHeads * 2, ...given } as DemoGeometry;
  if (geometry.queryHeads % geometry.kvHeads !== 0) {
    throw badField(
      'geometry.queryHeads',
      geometry.queryHeads,
      `a multiple of kvHeads = ${geometry.kvHeads}`,
    );
  }
  return geometry;
}

function parseField(field: string, value: string): unknown {
  if (Object.hasOwn(numberFields, field)) {
    const limit = numberFields[field as keyof typeof numberFields];
    const number = Number(value);
    if (value === '' || !Number.isInteger(number) || number < 1 || number > limit) {
      throw badField(`geometry.${field}`, value, `an integer from 1 to ${limit}`);
    }
    return number;
  }
  if (field === 'dtype') return oneOf(field, value, ['bf16', 'fp32']);
  if (field === 'layout') return oneOf(field, value, ['token-major', 'layer-major']);
  throw badField(
    'geometry',
    field,
    `fields ${[...Object.keys(numberFields), 'dtype', 'layout'].join(', ')}`,
  );
}

function oneOf(field: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value)) throw badField(`geometry.${field}`, value, allowed.join(', '));
  return value;
}

export function elementBytes(geometry: DemoGeometry): number {
  return geometry.dtype === 'bf16' ? 2 : 4;
}

/** One layer's K (or V) of one token: kvHeads x headDim elements. */
export function widthBytes(geometry: DemoGeometry): number {
  return geometry.kvHeads * geometry.headDim * elementBytes(geometry);
}

/** One token in all layers, K and V. */
export function tokenBytes(geometry: DemoGeometry): number {
  return 2 * geometry.layers * widthBytes(geometry);
}

export function describeGeometry(geometry: DemoGeometry): string {
  const { layers, kvHeads, headDim, queryHeads, dtype, layout } = geometry;
  const heads = `${queryHeads} query heads over ${kvHeads} KV heads of ${headDim}`;
  return `${layers} layers, ${heads}, ${dtype}, ${layout}`;
}
