/** What the reference model is made of: plain records, sizes in pages. */

export interface ModelLimits {
  readonly poolPages: number;
  readonly sessionPages: number;
  readonly sessionsMax: number;
  readonly cachesMax: number;
  readonly inFlightMax: number;
  readonly extentsMax: number;
  readonly waitMsMax: number;
  readonly epoch: bigint;
  readonly planBasePage: number;
  readonly planPages: number;
}

export interface ModelProcess {
  readonly pid: number;
  readonly uid: number;
}

export interface ModelSession {
  readonly id: bigint;
  readonly process: ModelProcess;
  state: 'open' | 'lingering' | 'exited';
}

export interface ModelExtent {
  readonly id: bigint;
  readonly pages: number;
  session: bigint;
  /** 0n: settled or adopted. */
  grant: bigint;
  returned: boolean;
}

export interface ModelWaiter {
  readonly session: bigint;
  readonly grant: bigint;
  /** Pages of each extent asked, the largest first. */
  readonly pieces: readonly number[];
  readonly needed: number;
  readonly deadline: number;
}

export interface ModelFlight {
  readonly session: bigint;
  readonly grant: bigint;
  readonly ids: readonly bigint[];
}

export interface ModelCache {
  readonly id: bigint;
  readonly session: bigint;
  basePage: number;
  readonly pages: number;
}

/** Thrown where the ledger must refuse with this code. */
export class ModelRefusal extends Error {
  constructor(readonly code: string) {
    super(code);
  }
}
