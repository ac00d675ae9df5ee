import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTrace, streamTrace } from '../../bench/trace/read.js';
import { KvspanError } from '../../proto/errors.js';

let directory: string;
let files = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kvspan-trace-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function write(text: string): Promise<string> {
  const file = join(directory, `trace-${files++}`);
  await writeFile(file, text);
  return file;
}

async function refusal(text: string): Promise<KvspanError> {
  const file = await write(text);
  const error: unknown = await readTrace(file).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(KvspanError);
  expect((error as KvspanError).code).toBe('INVALID_ARGUMENT');
  return error as KvspanError;
}

const line = (timestamp: number, input: number, output: number) =>
  JSON.stringify({ timestamp, input_length: input, output_length: output, hash_ids: [1, 2] });

describe('trace files', () => {
  it('reads JSON lines, whatever further fields they have', async () => {
    const file = await write(`${line(0, 6758, 500)}\n${line(27, 12, 3)}\n`);
    expect(await readTrace(file)).toEqual([
      { arrivalMs: 0, promptTokens: 6758, answerTokens: 500 },
      { arrivalMs: 27, promptTokens: 12, answerTokens: 3 },
    ]);
  });

  it('reads CSV by its header, in any order of columns, as arrived at once', async () => {
    const file = await write(
      'num_total_tokens,num_decode_tokens,num_prefill_tokens,pd_ratio\n72375,386,71989,186.5\n',
    );
    expect(await readTrace(file)).toEqual([
      { arrivalMs: 0, promptTokens: 71989, answerTokens: 386 },
    ]);
  });

  it('knows the format by the content, whatever the line ends, byte order mark and blank lines', async () => {
    const csv = await write('\ufeffnum_prefill_tokens,num_decode_tokens\r\n\r\n5,6\r\n');
    const json = await write(`\ufeff\r\n${line(1, 5, 6)}\r\n\r\n`);
    expect(await readTrace(csv)).toEqual([{ arrivalMs: 0, promptTokens: 5, answerTokens: 6 }]);
    expect(await readTrace(json)).toEqual([{ arrivalMs: 1, promptTokens: 5, answerTokens: 6 }]);
  });

  it('reads no further than the requests asked for', async () => {
    const file = await write(`${line(0, 1, 1)}\n${line(1, 2, 2)}\nnot read\n`);
    expect(await readTrace(file, 2)).toHaveLength(2);
  });

  it('orders requests by arrival and keeps the order of equal arrivals', async () => {
    const file = await write([line(9, 1, 1), line(3, 2, 1), line(3, 3, 1)].join('\n'));
    expect((await readTrace(file)).map(request => request.promptTokens)).toEqual([2, 3, 1]);
  });

  it('yields the first request before it has read the last', async () => {
    const file = await write(`${line(0, 7, 1)}\n${'{"broken'.repeat(100_000)}\n`);
    const first = await streamTrace(file).next();
    expect(first.value).toEqual({ arrivalMs: 0, promptTokens: 7, answerTokens: 1 });
  });

  it.each([
    ['a negative count', `${line(0, 1, 1)}\n${line(0, -4, 1)}`, ':2:input_length', '-4'],
    ['a fraction', line(0, 1.5, 1), ':1:input_length', '1.5'],
    ['an empty prompt', line(0, 0, 1), ':1:input_length', '0'],
    ['a count beyond reason', line(0, 1e12, 1), ':1:input_length', '1000000000000'],
    ['a missing field', '{"timestamp": 0, "input_length": 3}', ':1:output_length', 'undefined'],
    [
      'a text for a number',
      '{"timestamp": 0, "input_length": "3", "output_length": 1}',
      ':1:input_length',
      '"3"',
    ],
    [
      'a time that is none',
      '{"timestamp": null, "input_length": 3, "output_length": 1}',
      ':1:timestamp',
      'null',
    ],
    ['a broken line', `${line(0, 1, 1)}\n{"timestamp": `, ':2', 'JSON object'],
    [
      'an empty cell',
      'num_prefill_tokens,num_decode_tokens\n5,\n',
      ':2:num_decode_tokens',
      'undefined',
    ],
    [
      'a short row',
      'num_prefill_tokens,num_decode_tokens\n5\n',
      ':2:num_decode_tokens',
      'undefined',
    ],
    [
      'a word in a cell',
      'num_prefill_tokens,num_decode_tokens\n5,6\nx,6\n',
      ':3:num_prefill_tokens',
      'NaN',
    ],
    [
      'a header without the columns',
      'prompt,answer\n5,6\n',
      ':1:num_prefill_tokens',
      'num_prefill_tokens',
    ],
  ])('refuses %s and says where', async (_, text, where, what) => {
    const error = await refusal(text);
    expect(error.field.endsWith(where)).toBe(true);
    expect(error.message).toContain(what);
  });

  it('refuses a file without a request, and one that is not there', async () => {
    expect((await refusal('')).message).toContain('at least one request');
    expect((await refusal('num_prefill_tokens,num_decode_tokens\n')).message).toContain(
      'at least one request',
    );
    await expect(readTrace(join(directory, 'absent'))).rejects.toThrow('ENOENT');
  });
});
