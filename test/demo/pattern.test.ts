import { describe, expect, it } from 'vitest';
import {
  type DemoGeometry,
  parseGeometry,
  presets,
  tokenBytes,
  widthBytes,
} from '../../bench/demo/geometry.js';
import { Pattern } from '../../bench/demo/pattern.js';
import { decodeBf16 } from '../../kernels/reference/attention.js';

const tiny = presets['tiny'] as DemoGeometry;
const fill = (pattern: Pattern, request: number, first: number, tokens: number) =>
  pattern.fill(request, first, tokens, new Uint8Array(tokens * pattern.tokenBytes)).slice();

describe('the pattern', () => {
  const pattern = new Pattern(tiny, 1);

  it('is the same whenever and in whatever chunks it is made', () => {
    const whole = fill(pattern, 5, 100, 50);
    const parts = Buffer.concat([
      fill(pattern, 5, 100, 13),
      fill(new Pattern(tiny, 1), 5, 113, 37),
    ]);
    expect(Buffer.compare(whole, parts)).toBe(0);
  });

  it('differs between tokens, requests and seeds', () => {
    const rows = [
      ...Array.from({ length: 200 }, (_, token) => fill(pattern, 5, token, 1)),
      ...Array.from({ length: 200 }, (_, request) => fill(pattern, request + 6, 0, 1)),
      fill(new Pattern(tiny, 2), 5, 0, 1),
    ];
    expect(new Set(rows.map(row => Buffer.from(row).toString('latin1'))).size).toBe(rows.length);
  });

  it('sees a lost, a stale, a misplaced and a torn row', () => {
    const rows = fill(pattern, 5, 0, 8);
    const scratch = new Uint8Array(rows.byteLength);
    expect(pattern.compare(5, 0, rows, scratch)).toBe(0);
    rows.fill(0, 0, pattern.tokenBytes);
    rows.set(fill(pattern, 4, 2, 1), 2 * pattern.tokenBytes);
    rows.set(fill(pattern, 5, 3, 1), 4 * pattern.tokenBytes);
    rows[6 * pattern.tokenBytes + 700]! ^= 1;
    expect(pattern.compare(5, 0, rows, scratch)).toBe(4);
  });

  it('is of finite bf16 values of variance one', () => {
    const rows = new Uint16Array(fill(pattern, 9, 0, 64).buffer);
    const values = Array.from(rows, decodeBf16);
    expect(values.every(Number.isFinite)).toBe(true);
    const variance = values.reduce((sum, value) => sum + value * value, 0) / values.length;
    expect(variance).toBeGreaterThan(0.9);
    expect(variance).toBeLessThan(1.1);
  });

  it.each(['tiny', 'layers=3,kvHeads=2,headDim=8,dtype=fp32'])(
    'gives a layer of %s as the rows hold it',
    text => {
      const geometry = parseGeometry(text);
      const of = new Pattern(geometry, 3);
      const pair = 2 * widthBytes(geometry);
      const rows = fill(of, 2, 0, 10);
      for (let layer = 0; layer < geometry.layers; layer++) {
        const layerRows = of.layerRows(2, layer, pair / 2, 10);
        for (let token = 0; token < 10; token++) {
          const from = token * of.tokenBytes + layer * pair;
          expect(layerRows.subarray(token * pair, (token + 1) * pair)).toEqual(
            rows.subarray(from, from + pair),
          );
        }
      }
    },
  );
});

describe('geometries', () => {
  it('have names: tiny is 1 KiB a token, llama-8b 128 KiB', () => {
    expect(tokenBytes(parseGeometry('tiny'))).toBe(1024);
    expect(tokenBytes(parseGeometry('llama-8b'))).toBe(128 * 1024);
  });

  it('can be spelled out, the rest as in tiny', () => {
    expect(
      parseGeometry('layers=3, kvHeads=5,dtype=fp32,layout=layer-major,maxTokens=100'),
    ).toEqual({
      layers: 3,
      kvHeads: 5,
      headDim: 64,
      queryHeads: 10,
      dtype: 'fp32',
      layout: 'layer-major',
      maxTokens: 100,
    });
  });

  it.each([
    ['huge', /tiny, small, llama-8b/],
    ['layers=0', /geometry\.layers: got "0"/],
    ['layers=', /geometry\.layers/],
    ['heads=3', /geometry: got "heads"/],
    ['dtype=fp8', /geometry\.dtype: got "fp8", allowed: bf16, fp32/],
    ['layout=latent', /geometry\.layout/],
    ['kvHeads=3,queryHeads=4', /geometry\.queryHeads: got 4, allowed: a multiple of kvHeads = 3/],
    ['constructor', /geometry/],
  ])('refuse %s', (text, message) => {
    expect(() => parseGeometry(text)).toThrow(message);
  });
});
