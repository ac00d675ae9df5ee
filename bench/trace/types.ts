/** One request of a serving trace. */
export interface TraceRequest {
  /** Since the start of the trace; 0 for all of an offline trace. */
  readonly arrivalMs: number;
  /** At least 1. */
  readonly promptTokens: number;
  /** 0: the prompt is only prefilled. */
  readonly answerTokens: number;
}

/** A token count above this is an error in the file, not a request. */
export const TRACE_TOKENS_MAX = 16 * 1024 * 1024;
