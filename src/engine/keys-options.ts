import type { Redis } from 'ioredis'
import type { Sql } from 'postgres'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../core/logger.ts'
import { assertMembers, flag, made, oneOf, text, texts, whole, wholeObject, wholeOrNone, type Rule } from '../core/option-rules.ts'
import type { Policy } from '../core/policy.ts'
import type { Tracing } from '../core/tracing.ts'
import type { Retention } from '../core/upkeep.ts'
import type { AcknowledgementMode } from '../core/window/acknowledgements.ts'

/** A Drizzle database on postgres.js that the host application made. Only its client is used, so its schema and Drizzle's version do not matter. */
export interface HostDatabase {
  readonly $client: Sql
}

export interface KeysOptions {
  /** `postgres://…` of the primary. Either this or `db` is needed. */
  readonly databaseUrl?: string | undefined
  /** The schema that holds every table. `navis_keys`. */
  readonly databaseSchema?: string | undefined
  /** Maximum number of connections for all purposes. At least 4. 10. */
  readonly databaseConnectionsMax?: number | undefined
  /** Whether the start updates our schema. `false`: nothing is created or altered, and the start fails on an older schema. `true`. */
  readonly migrate?: boolean | undefined
  /** `true`: changes are refused while the database has a standby that commits do not wait for. `false`. */
  readonly requireSynchronous?: boolean | undefined
  /** A Drizzle database on postgres.js that you own; window renewals then share its pool. Never closed by us. */
  readonly db?: HostDatabase | undefined
  /** `redis://…`, `redis+sentinel://…`, `redis+cluster://…`, or `rediss…` for TLS. Without this and `redis`: no Redis tier, and changes reach the other replicas with the renewals only. */
  readonly redisUrl?: string | undefined
  /** Path of a PEM file with the CA certificates for Redis. Node's own. */
  readonly redisCaFile?: string | undefined
  /** An ioredis client that you own; only its settings are used, by `duplicate()`. */
  readonly redis?: Redis | undefined
  /** Milliseconds for which a replica may accept keys without an answer from Postgres. 10,000. */
  readonly trustWindowMs?: number | undefined
  /** Milliseconds between two writes of when keys were last used. 5000. */
  readonly lastUsedFlushMs?: number | undefined
  /** How much of a key's last client address is stored: `prefix` is its /24 or /48. `full`. */
  readonly usageAddresses?: 'full' | 'prefix' | 'off' | undefined
  /** The prefix of new tokens. `nops_`. */
  readonly tokenPrefix?: string | undefined
  /** Other prefixes under which imported and older tokens work, such as `sk_live_`. None. */
  readonly tokenPrefixesAccepted?: readonly string[] | undefined
  /** `false`: every verification reads Postgres. `true`. */
  readonly cache?: boolean | undefined
  /** Which acknowledgements may end a revocation's wait: also those over Redis, only those in Postgres, or none; then it always waits for the longest window. `all`. */
  readonly acks?: AcknowledgementMode | undefined
  /** Maximum number of keys in memory. 100,000. */
  readonly memoryEntriesMax?: number | undefined
  /** Unknown tokens that one client address (IPv6: one /64) may present per minute. Beyond it unknown tokens get 429, and tokens that are not in memory wait in a queue. 600. */
  readonly unknownTokensPerMinute?: number | undefined
  /** The policy of every workspace. A workspace's own policy can only be stricter, except for the default lifetime. None. */
  readonly policy?: Policy | undefined
  /**
   * How many days records are kept; null, for `auditDays` and `endedKeyDays`: for ever. Left out: this process does no background work (expiry events, unused keys, pruning) and logs that at its
   * start; the service's replicas, or another process with this option, must do it.
   */
  readonly retention?: Retention | undefined
  /** A logger with pino's methods. No log. */
  readonly log?: Logger | undefined
  readonly clock?: Clock | undefined
  /** Records spans of requests that leave the process. No tracing. */
  readonly tracing?: Tracing | undefined
}

const rules: { readonly [Name in keyof KeysOptions]-?: Rule } = {
  databaseUrl: text,
  databaseSchema: text,
  databaseConnectionsMax: whole,
  migrate: flag,
  requireSynchronous: flag,
  db: made,
  redisUrl: text,
  redisCaFile: text,
  redis: made,
  trustWindowMs: whole,
  lastUsedFlushMs: whole,
  usageAddresses: oneOf('full', 'prefix', 'off'),
  tokenPrefix: text,
  tokenPrefixesAccepted: texts,
  cache: flag,
  acks: oneOf('all', 'postgres', 'off'),
  memoryEntriesMax: whole,
  unknownTokensPerMinute: whole,
  policy: wholeObject<Policy>({ maxLifetimeDays: wholeOrNone, defaultLifetimeDays: wholeOrNone, unusedDays: wholeOrNone }),
  retention: wholeObject<Retention>({ auditDays: wholeOrNone, usageDays: whole, callDays: whole, endedKeyDays: wholeOrNone }),
  log: made,
  clock: made,
  tracing: made
}

/** Throws `TypeError` for a wrong name or a wrong value. `undefined` is the same as no option; of `policy` and `retention` every member is needed. */
export function assertOptions (options: KeysOptions): void {
  assertMembers({ ...options }, rules, { owner: 'navis-keys' })
}
