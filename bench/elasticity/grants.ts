/** How long a grant takes while three processes want more than there is. */
import type { Row } from '../report/results.js';
import { quantile, row } from '../report/statistics.js';
import { type Context, placeOf } from './context.js';
import { BEYOND, grantCase, grantWhat, INSIDE } from './names.js';
import { guaranteeOf, tenants } from './tenants.js';

/** What each wants at most, of the pool: together nearly twice what there is. */
const WANTED_SHARE = 0.6;

export async function grants(context: Context): Promise<Row[]> {
  const { poolBytes, processes, sizes } = context;
  const guaranteedBytes = guaranteeOf(poolBytes);
  await context.operator.entitle(
    () => ({ guaranteedBytes, limitBytes: poolBytes, held: false }),
    poolBytes,
  );
  const answers = await processes.together(
    tenants.map((tenant, seed) =>
      processes.of(tenant).perform({
        kind: 'contend',
        place: placeOf(context, tenant),
        seconds: sizes.grantSeconds,
        guaranteedBytes,
        mostBytes: poolBytes * WANTED_SHARE,
        seed,
      }),
    ),
  );
  const sum = (of: (answer: (typeof answers)[number]) => number): number =>
    answers.reduce((total, answer) => total + of(answer), 0);
  return [
    ...rowsOf(
      INSIDE,
      answers.flatMap(({ inside }) => [...inside]),
      sum(({ missed }) => missed),
    ),
    ...rowsOf(
      BEYOND,
      answers.flatMap(({ beyond }) => [...beyond]),
      sum(({ refusedBeyond }) => refusedBeyond),
    ),
  ];
}

function rowsOf(where: string, us: readonly number[], missed: number): Row[] {
  const one = (name: string, value: number) => row(grantCase, `${where}: ${name}`, 'us', [value]);
  return [
    ...(us.length === 0
      ? []
      : [
          one(grantWhat.p50, quantile(us, 0.5)),
          one(grantWhat.p99, quantile(us, 0.99)),
          one(grantWhat.max, quantile(us, 1)),
        ]),
    row(grantCase, `${where}: ${grantWhat.met}`, 'count', [us.length]),
    row(grantCase, `${where}: ${grantWhat.missed}`, 'count', [missed]),
  ];
}
