/** What the reference model is made of: plain records, sizes in pages. */

export interface ModelTenant {
  readonly name: string;
  /** Whose: null: everybody who is of no other. */
  readonly uid: number | null;
  guaranteed: number;
  limit: number;
  weight: number;
  kept: boolean;
}

export interface ModelLimits {
  readonly tenants: readonly ModelTenant[];
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
  readonly tenant: ModelTenant;
  state: 'open' | 'lingering' | 'exited';
  evicted: boolean;
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
  /** A promise is asked for, that ends so long after its last use; null: extents. */
  readonly lapse: number | null;
}

export interface ModelPromise {
  readonly session: bigint;
  readonly id: bigint;
  readonly lapse: number;
  /** Not used yet. */
  pages: number;
  deadline: number;
}

/** A promise that is `pages` less than its session thinks. */
export interface ModelCut {
  readonly session: bigint;
  readonly id: bigint;
  readonly left: number;
}

export interface ModelFlight {
  readonly session: bigint;
  readonly grant: bigint;
  readonly ids: readonly bigint[];
  readonly promise: ModelPromise | null;
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
