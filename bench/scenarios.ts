import type { Bench } from './bench.ts'
import { changes } from './scenarios/changes.ts'
import { cold } from './scenarios/cold.ts'
import { flood } from './scenarios/flood.ts'
import { gatewayStall } from './scenarios/gateway-stall.ts'
import { lastUsed } from './scenarios/last-used.ts'
import { latency } from './scenarios/latency.ts'
import { limits } from './scenarios/limits.ts'
import { listSizes } from './scenarios/list-sizes.ts'
import { lists } from './scenarios/lists.ts'
import { manyKeys } from './scenarios/many-keys.ts'
import { memory } from './scenarios/memory.ts'
import { replicas } from './scenarios/replicas.ts'
import { scrape } from './scenarios/scrape.ts'
import { secondReplica } from './scenarios/second-replica.ts'
import { statements } from './scenarios/statements.ts'
import { throughput } from './scenarios/throughput.ts'
import { yardstick } from './scenarios/yardstick.ts'
import type { Section } from './support/section.ts'

/** In the order of the report. */
export const scenarios: Readonly<Record<string, (bench: Bench) => Promise<Section>>> = {
  yardstick,
  throughput,
  cold,
  'many-keys': manyKeys,
  latency,
  flood,
  memory,
  lists,
  'list-sizes': listSizes,
  changes,
  'last-used': lastUsed,
  limits,
  statements,
  replicas,
  'second-replica': secondReplica,
  'gateway-stall': gatewayStall,
  scrape
}
