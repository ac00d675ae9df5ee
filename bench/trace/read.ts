/**
 * Readers for two trace formats, told apart by their first line, read line by line:
 *  - JSON lines with `timestamp` (ms), `input_length`, `output_length`; other fields are ignored;
 *  - CSV with a header that has `num_prefill_tokens` and `num_decode_tokens`, in any order.
 */
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { badField } from '../../proto/errors.js';
import { TRACE_TOKENS_MAX, type TraceRequest } from './types.js';

type LineReader = (line: string, number: number) => TraceRequest;

/** The requests of a file, in its order. Errors name `file:line:field`. */
export async function* streamTrace(file: string): AsyncGenerator<TraceRequest> {
  const stream = (await openTrace(file)).createReadStream({ encoding: 'utf8' });
  const lines = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY });
  let reader: LineReader | null = null;
  let number = 0;
  let requests = 0;
  try {
    for await (const raw of lines) {
      number += 1;
      const line = number === 1 ? raw.replace(/^\ufeff/, '') : raw;
      if (line.trim() === '') continue;
      if (reader === null) {
        reader = line.trimStart().startsWith('{')
          ? jsonReader(file)
          : csvReader(file, line, number);
        if (!line.trimStart().startsWith('{')) continue;
      }
      requests += 1;
      yield reader(line, number);
    }
  } finally {
    lines.close();
    stream.destroy();
  }
  if (requests === 0)
    throw badField(`${file}:${number}`, 'no request', 'a trace with at least one request');
}

async function openTrace(file: string): ReturnType<typeof open> {
  try {
    return await open(file, 'r');
  } catch (error) {
    throw badField(
      'trace',
      file,
      `a file that can be read (${(error as NodeJS.ErrnoException).code})`,
    );
  }
}

/** The first `limit` requests (all by default), by arrival. */
export async function readTrace(
  file: string,
  limit = Number.POSITIVE_INFINITY,
): Promise<TraceRequest[]> {
  const requests: TraceRequest[] = [];
  for await (const request of streamTrace(file)) {
    requests.push(request);
    if (requests.length >= limit) break;
  }
  return requests.toSorted((a, b) => a.arrivalMs - b.arrivalMs);
}

function jsonReader(file: string): LineReader {
  return (line, number) => {
    const row = parseObject(line, `${file}:${number}`);
    const at = (field: string) => `${file}:${number}:${field}`;
    return {
      arrivalMs: milliseconds(row['timestamp'], at('timestamp')),
      promptTokens: tokens(row['input_length'], at('input_length'), 1),
      answerTokens: tokens(row['output_length'], at('output_length'), 0),
    };
  };
}

function parseObject(line: string, at: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw badField(at, line, 'a JSON object on a line');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badField(at, line, 'a JSON object on a line');
  }
  return value as Record<string, unknown>;
}

function csvReader(file: string, header: string, headerLine: number): LineReader {
  const names = header.split(',').map(name => name.trim());
  const column = (name: string): number => {
    const index = names.indexOf(name);
    if (index < 0) {
      throw badField(
        `${file}:${headerLine}:${name}`,
        header,
        `JSON lines, or a CSV header with a column ${name}`,
      );
    }
    return index;
  };
  const prompt = column('num_prefill_tokens');
  const answer = column('num_decode_tokens');
  return (line, number) => {
    const cells = line.split(',');
    const cell = (index: number, field: string, least: number): number => {
      const text = cells[index]?.trim() ?? '';
      return tokens(text === '' ? undefined : Number(text), `${file}:${number}:${field}`, least);
    };
    return {
      arrivalMs: 0,
      promptTokens: cell(prompt, 'num_prefill_tokens', 1),
      answerTokens: cell(answer, 'num_decode_tokens', 0),
    };
  };
}

function tokens(value: unknown, at: string, least: number): number {
  if (
    typeof value !== 'number' ||
    !Number.isInteger(value) ||
    value < least ||
    value > TRACE_TOKENS_MAX
  ) {
    throw badField(at, value, `an integer from ${least} to ${TRACE_TOKENS_MAX}`);
  }
  return value;
}

function milliseconds(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw badField(at, value, 'a number of milliseconds, 0 or more');
  }
  return value;
}
