import { systemClock } from '../core/clock.ts'
import { KeyService } from '../core/key-service.ts'
import { CallLog, type CallLogStats } from '../core/call-log.ts'
import { RateLimiter, type RateLimiterStats } from '../core/rate-limiter.ts'
import { UsageBatcher, type UsageStats } from '../core/usage.ts'
import { UsageReports } from '../core/usage-reports.ts'
import { TokenReports } from '../core/token-reports.ts'
import { KeyImports } from '../core/key-imports.ts'
import type { OverviewStore } from '../core/overview.ts'
import { Policies } from '../core/policies.ts'
import { noPolicy, type Policy } from '../core/policy.ts'
import { UnusedKeys } from '../core/unused-keys.ts'
import { silentLogger } from '../core/logger.ts'
import { MissBudget } from '../core/miss-budget.ts'
import { RefusalMemory } from '../core/refusal-memory.ts'
import { EventFeed } from '../core/events.ts'
import { FormTokens } from '../core/form-tokens.ts'
import { Upkeep, type UpkeepStats } from '../core/upkeep.ts'
import { PostgresUpkeepStore } from '../db/upkeep-store.ts'
import { PostgresWebhookStore } from '../db/webhook-store.ts'
import type { WebhookStore } from '../core/webhooks.ts'
import { TokenFormat } from '../core/token.ts'
import { tracedForce, tracedMethods } from '../core/tracing.ts'
import { OverBudgetQueue } from '../core/over-budget-queue.ts'
import { Verifier, type VerifierStats } from '../core/verifier.ts'
import { TrustWindow } from '../core/window/trust-window.ts'
import { PostgresKeyStore } from '../db/key-store.ts'
import { PostgresUsageStore } from '../db/usage-store.ts'
import { PostgresWindowStore } from '../db/window-store.ts'
import type { DatabaseServer, Standbys } from '../core/standbys.ts'
import { readServer, ServerWatch } from '../db/standbys.ts'
import { inTime } from '../core/in-time.ts'
import { assertOptions, type KeysOptions } from './keys-options.ts'
import { makeReady, openDatabases } from './open-databases.ts'
import { openTiers, prefixOf, type TiersStats } from './open-tiers.ts'
import { keepShapes } from './kept-shapes.ts'
import { RedisAnnouncements, type AnnouncementCounts } from '../tiers/redis-announcements.ts'
import { RedisSource } from '../tiers/redis-source.ts'
import { RedisSharedRates } from '../tiers/shared-rates.ts'
import { requestRedis } from '../tiers/request-redis.ts'

export interface KeysHealth {
  readonly postgres: 'up' | 'down'
  /** `refusing`: it answers with errors. */
  readonly redis: 'up' | 'refusing' | 'down' | 'unused'
  /** Redis's error code, such as `READONLY`; `undefined` without errors. */
  readonly redisRefusal: string | undefined
  readonly window: 'open' | 'shut'
  /** The database's standby servers; `undefined` while they are not known. */
  readonly standbys: Standbys | undefined
}

export interface KeysStats extends TiersStats {
  readonly verifier: VerifierStats
  readonly usage: UsageStats
  readonly calls: CallLogStats
  readonly rates: RateLimiterStats
  /** `undefined`: this process does no background work. */
  readonly upkeep: UpkeepStats | undefined
  /** Of the Redis channel between replicas; `undefined` without Redis. */
  readonly announcements: AnnouncementCounts | undefined
  /** Answers of the database that did not prove that they belong to their statement, and were ignored. */
  readonly answersRefused: number
  /** The database's server; `undefined` while it is not known. */
  readonly server: DatabaseServer | undefined
  /** Of the connection for lookups, and what Redis has refused on any connection, by code; `undefined` without Redis. */
  readonly redisConnection: { readonly isUp: boolean, readonly refusals: Readonly<Record<string, number>> } | undefined
}

/** The engine that the plugin, the service, the command line and the tests use. */
export interface Keys {
  readonly verifier: Verifier
  readonly service: KeyService
  readonly imports: KeyImports
  readonly policies: Policies
  /** The policy that the options set for every workspace. */
  readonly policy: Policy
  /** Milliseconds for which a replica may accept keys without an answer from Postgres. */
  readonly trustWindowMs: number
  readonly formTokens: FormTokens
  readonly overview: OverviewStore
  readonly events: EventFeed
  /** The deliveries of events. */
  readonly webhooks: WebhookStore
  readonly tokenReports: TokenReports
  readonly window: TrustWindow
  /** The use of keys, which is written in batches. */
  readonly usage: UsageBatcher
  readonly calls: CallLog
  readonly reports: UsageReports
  readonly tokens: TokenFormat
  /** `false` until the database has answered for the first time. Until then every call is `unavailable`. */
  readonly isStarted: boolean
  /** The known state of each store. Asks none of them. */
  health (): KeysHealth
  stats (): KeysStats
  /** Writes last uses, leaves the window, closes our own connections. In bounded time, even if the stores are down. */
  close (): Promise<void>
}

/** An engine that has not been started. */
export interface UnstartedKeys extends Keys {
  /** Joins the trust window. Rejects when Postgres cannot be reached; the call can be repeated then. */
  start (): Promise<void>
}

const closeTimeoutMs = 2000
const serverReadMs = 5000
// The longest statements of the others on that pool.
const bulkDrainMs = 30_000
/** The methods of the store that get a span. */
const changes = ['create', 'import', 'edit', 'rotate', 'revoke', 'revokeWorkspace', 'revokeLeaked', 'endToken', 'setPolicy', 'applyPolicy', 'list', 'listAudit'] as const

/**
 * Creates the engine and joins the trust window. Rejects when Postgres cannot be reached; the call can be
 * repeated then. Redis may be down; it is used when it is back.
 */
export async function openKeys (options: KeysOptions): Promise<Keys> {
  const keys = createKeys(options)
  try {
    await keys.start()
    return keys
  } catch (error) {
    await keys.close()
    throw error
  }
}

/** Creates the engine. No store is asked before `start`. Throws `TypeError` for a wrong name or a wrong value of an option. */
export function createKeys (options: KeysOptions): UnstartedKeys {
  assertOptions(options)
  keepShapes()
  const { clock = systemClock, log = silentLogger, cache = true, tracing } = options
  const tokens = new TokenFormat(options.tokenPrefix, options.tokenPrefixesAccepted)
  const databases = openDatabases(options)
  const { redisUrl, redisCaFile: caFile, redis: template } = options
  const source = redisUrl === undefined && template === undefined ? undefined : new RedisSource({ url: redisUrl, caFile, template, log })
  const redis = source && requestRedis(source, log)
  const announcements = source && new RedisAnnouncements({ redis: source, log, onRate: (keyId, backlogMs) => { rates.heard(keyId, backlogMs, clock.monotonicMs()) } })
  const windowStore = new PostgresWindowStore({ connect: databases.connectWindow, onNotPrimary: () => { databases.replace() }, onFailure: databases.noteFailure })
  const trustWindowMs = options.trustWindowMs ?? 10_000
  const window = new TrustWindow({
    store: windowStore,
    announcements,
    clock,
    windowMs: trustWindowMs,
    acks: options.acks,
    log
  })
  const shared = redis && new RedisSharedRates({ redis, prefix: () => prefixOf(window) })
  const rates = new RateLimiter({ clock, shared, replicas: () => window.members })
  const tiers = openTiers({ lookups: databases.lookups, redis, window, clock, cache, entriesMax: options.memoryEntriesMax ?? 100_000, onNotPrimary: () => { windowStore.distrust() }, tracing })
  const keyStore = new PostgresKeyStore({ pool: databases.management, policy: options.policy, concurrency: databases.managementConnections, requireSynchronous: options.requireSynchronous, onFailure: databases.noteFailure })
  const store = tracedMethods(keyStore, changes, 'postgresql', tracing)
  const force = tracedForce(window, tracing)
  const service = new KeyService({ store, force, clock, tokens })
  const imports = new KeyImports({ store, tokens, onImported: (digests) => { verifier.forget({ kind: 'key', digests }) } })
  const events = new EventFeed({ store })
  const webhooks = new PostgresWebhookStore({ pool: databases.management, clock })
  const { retention, policy = noPolicy } = options
  const upkeepStore = new PostgresUpkeepStore({ pool: databases.management, policy, requireSynchronous: options.requireSynchronous })
  const unusedKeys = new UnusedKeys({ step: (rowsMax) => upkeepStore.unusedStep(rowsMax), force, clock })
  const upkeep = retention && new Upkeep({ store: upkeepStore, revokeUnused: (rowsMax) => unusedKeys.step(rowsMax), retention, clock, log })
  const policies = new Policies({ store, force, clock })
  const tokenReports = new TokenReports({ store, force, clock, tokens })
  const usageStore = new PostgresUsageStore({ reads: databases.management, writes: databases.management })
  const flushEveryMs = options.lastUsedFlushMs ?? 5000
  const calls = new CallLog({ clock, log, record: (batch) => usageStore.recordCalls(batch), flushEveryMs })
  const reports = new UsageReports({ store: usageStore, today: () => Date.now() })
  const usage = new UsageBatcher({
    clock,
    log,
    record: (batch) => usageStore.recordUses(batch),
    addresses: options.usageAddresses,
    holdsToken: (text) => tokens.foundIn(text),
    recordFirst: (keyId, ageMs) => service.recordFirstUse(keyId, ageMs),
    recordEnded: (digests) => usageStore.recordEndedUse(digests),
    recordGap: (gap) => usageStore.recordGap(gap),
    flushEveryMs
  })
  const verifier = new Verifier({
    format: tokens,
    lookup: tiers.lookup,
    trust: window,
    clock,
    refusals: new RefusalMemory({ ttlMs: cache ? 1000 : 0, entriesMax: 10_000 }),
    budget: new MissBudget({ clock, perMinute: options.unknownTokensPerMinute ?? 600 }),
    overBudget: new OverBudgetQueue(),
    usage,
    rates
  })
  window.onDrop(({ target }) => {
    tiers.drop(target)
    verifier.forget(target)
  })
  const server = new ServerWatch({ read: () => inTime(readServer(databases.management.queries), serverReadMs, () => { databases.management.replace(bulkDrainMs) }), log })
  let isStarted = false

  return {
    verifier,
    service,
    imports,
    policies,
    policy,
    trustWindowMs,
    formTokens: new FormTokens({ store }),
    overview: store,
    events,
    webhooks,
    tokenReports,
    window,
    usage,
    calls,
    reports,
    tokens,
    get isStarted () {
      return isStarted
    },
    async start () {
      await makeReady(databases, options)
      server.start().catch(() => {})
      await window.start()
      upkeep?.start()
      isStarted = true
    },
    health () {
      const { isOpen, isAnswered } = window.snapshot()
      return {
        postgres: isAnswered ? 'up' : 'down',
        redis: redis === undefined ? 'unused' : redis.status !== 'ready' ? 'down' : source?.health.refusal === undefined ? 'up' : 'refusing',
        redisRefusal: source?.health.refusal,
        window: isOpen ? 'open' : 'shut',
        standbys: server.seen
      }
    },
    stats: () => {
      const tiersStats = tiers.stats()
      const answersRefused = windowStore.answersRefused + store.answersRefused + upkeepStore.answersRefused + tiersStats.postgres.answersRefused + window.snapshot().answersRefused
      const redisConnection = redis && { isUp: redis.status === 'ready', refusals: source?.health.counts() ?? {} }
      return { ...tiersStats, redisConnection, verifier: verifier.stats(), usage: usage.stats(), calls: calls.stats(), rates: rates.stats(), upkeep: upkeep?.stats(), announcements: announcements?.counts(), answersRefused, server: server.seen }
    },
    async close () {
      await Promise.all([usage.close(), calls.close(), ...[rates, upkeep].map((part) => inTime(part?.close() ?? Promise.resolve(), closeTimeoutMs).catch(() => {}))])
      server.close()
      await window.leave()
      redis?.disconnect()
      source?.health.close()
      await Promise.all([databases.close(), inTime(windowStore.close(), closeTimeoutMs).catch(() => {})])
    }
  }
}
