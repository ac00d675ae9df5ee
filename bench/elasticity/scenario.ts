/** A scenario: the same loads over each way of sharing the pool. */
import type { Tick } from '../harness/progress.js';
import type { Row } from '../report/results.js';
import { type Context, placeOf } from './context.js';
import { cutMsOf, type Scenario } from './load.js';
import { memoryRows, scenarioRows } from './rows.js';
import { guaranteeOf, GUARANTEED, tenants, type Way, ways } from './tenants.js';

export async function compareWays(
  context: Context,
  scenario: Scenario,
  tick: Tick,
): Promise<Row[]> {
  const rows: Row[] = [];
  const memory: Row[] = [];
  for (const [index, way] of ways.entries()) {
    const answers = await serveAll(context, scenario, way);
    rows.push(...scenarioRows(scenario, way.name, answers, context.poolBytes));
    memory.push(...memoryRows(scenario, way.name, answers, context.poolBytes));
    tick((index + 1) / ways.length);
  }
  return [...rows, ...memory];
}

async function serveAll(context: Context, scenario: Scenario, way: Way) {
  const { operator, poolBytes, processes } = context;
  await operator.entitle(() => way.entitlement(poolBytes), poolBytes);
  const { engine, maxTokens, seconds } = scenario;
  return processes.together(
    way.serving.map(tenant =>
      processes.of(tenant).perform({
        kind: 'serve',
        place: placeOf(context, tenant),
        engine,
        maxTokens,
        requests: scenario.load.requests[tenants.indexOf(tenant)] ?? [],
        loadMs: seconds * 1000,
        cutMs: cutMsOf(scenario),
        guaranteedBytes: way.name === GUARANTEED ? guaranteeOf(poolBytes) : 0,
      }),
    ),
  );
}
