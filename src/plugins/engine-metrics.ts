import { latencyBoundsMs } from '../core/window/latencies.ts'
import type { WindowSnapshot } from '../core/window/trust-window.ts'
import type { Keys, KeysStats } from '../engine/open-keys.ts'
import { CollectedMetrics, one, samplesBy, type CollectedMetric } from '../http/metrics-registry.ts'

/** The state of the engine at one moment. */
interface Reading extends KeysStats {
  readonly window: WindowSnapshot
}

const byOutcome = samplesBy('outcome')
const byCommits = samplesBy('commits')
const byEvent = samplesBy('event')
const byCode = samplesBy('code')
const ofConnection = samplesBy('outcome', { tier: 'connection' })
const ofMemory = samplesBy('outcome', { tier: 'memory' })
const ofCoalescing = samplesBy('outcome', { tier: 'coalescing' })
const ofRedis = samplesBy('outcome', { tier: 'redis' })
const ofPostgres = samplesBy('outcome', { tier: 'postgres' })

const inForce = 'navis_keys_change_in_force_seconds'
const inForceBounds = [...latencyBoundsMs.map((bound) => String(bound / 1000)), '+Inf']
const inForceLabels = (['fast', 'slow'] as const).map((path) => ({ path, ofSum: { path }, ofCount: { path }, ofBuckets: inForceBounds.map((le) => ({ path, le })) }))

/** The metrics of the engine; docs/metrics.md lists them. */
const metrics: ReadonlyArray<CollectedMetric<Reading>> = [
  { name: 'navis_keys_window_open', help: '1 while this replica may accept keys, 0 while it has not heard from Postgres for a whole trust window.', samples: ({ window }) => one(window.isOpen ? 1 : 0) },
  { name: 'navis_keys_window_renewal_age_seconds', help: 'Time since the newest answered renewal of the trust window was sent.', samples: ({ window: { renewalAgeMs } }) => one(renewalAgeMs === undefined ? undefined : renewalAgeMs / 1000) },
  { name: 'navis_keys_window_seconds', help: 'TRUST_WINDOW_MS of this replica.', samples: ({ window }) => one(window.windowMs / 1000) },
  { name: 'navis_keys_window_applied', help: 'Position in the revocation log up to which this replica knows all changes.', samples: ({ window }) => one(window.applied) },
  { name: 'navis_keys_window_floor', help: 'Position in the revocation log below which cached entries are read again.', samples: ({ window }) => one(window.floor) },
  { name: 'navis_keys_window_renewal_period_seconds', help: 'Time between two renewals of the trust window of this replica: longer in a large fleet.', samples: ({ window }) => one(window.renewEveryMs / 1000) },
  { name: 'navis_keys_window_recent_rows', help: 'Rows of the revocation log held in memory.', samples: ({ window }) => one(window.recentRows) },
  { name: 'navis_keys_window_has_lineage', help: '1 while this replica may use the rows in Redis, 0 while it does not know that they belong to the history of this database.', samples: ({ window }) => one(window.hasLineage ? 1 : 0) },
  { name: 'navis_keys_window_members', help: 'Replicas that a revocation waits for, as this one read them last.', samples: ({ window }) => one(window.members) },
  { name: 'navis_keys_window_changes_waiting', help: 'Changes committed by this replica that are not yet in force on every replica.', samples: ({ window }) => one(window.waiting) },
  { name: 'navis_keys_window_renewals_total', help: 'Renewals of the trust window: answered, failed, or answered after their deadline.', samples: ({ window }) => byOutcome({ ...window.renewals }) },
  { name: 'navis_keys_window_joins_total', help: 'How often this replica joined the trust window; more than once if it was removed.', samples: ({ window }) => one(window.joins) },
  { name: 'navis_keys_window_members_counted_out_total', help: 'Members that this replica removed because they had not renewed.', samples: ({ window }) => one(window.countedOut) },
  { name: 'navis_keys_window_lineages_founded_total', help: 'How often this replica began a new lineage, because no running replica knew the history of the database.', samples: ({ window }) => one(window.founded) },
  { name: 'navis_keys_window_resets_total', help: 'How often the whole cache was dropped: another timeline, a database that was restored to an earlier state, or this replica was removed.', samples: ({ window }) => one(window.resets) },
  { name: 'navis_keys_revocations_put_back_total', help: 'Tokens whose revocation the database had lost, after a failover or a restore, and that this replica revoked again.', samples: ({ window }) => one(window.revocationsPutBack) },
  { name: 'navis_keys_answers_refused_total', help: 'Answers of the database that were rejected: they belonged to another statement, were incomplete, or came from another server than the primary that answers the renewals. Their connections were closed.', samples: ({ answersRefused }) => one(answersRefused) },
  {
    name: 'navis_keys_standbys',
    help: 'Standbys of the database, by whether a commit waits for them. A failover to a standby that commits do not wait for loses confirmed revocations.',
    samples: ({ server }) => server === undefined ? [] : byCommits({ wait: server.count - server.notWaitedFor, do_not_wait: server.notWaitedFor })
  },
  { name: 'navis_keys_postgres_connections', help: 'Connections that all clients of the Postgres server have open.', samples: ({ server }) => one(server?.connections.open) },
  { name: 'navis_keys_postgres_connections_max', help: 'Connections that the Postgres server allows to roles that are not superusers.', samples: ({ server }) => one(server?.connections.max) },
  { name: 'navis_keys_window_log_rows_pruned_total', help: 'Rows of the revocation log that this replica deleted because they were old.', samples: ({ window }) => one(window.pruned) },
  {
    name: 'navis_keys_announcements_total',
    help: 'Announcements of changes over Redis: published, lost on the way out, heard, acknowledged, acknowledgements heard, forged or too long, dropped unchecked because more than 5,000 were forged in that second, and subscriptions made.',
    samples: ({ announcements }) => announcements === undefined
      ? []
      : byEvent({
        published: announcements.published,
        lost: announcements.lost,
        heard: announcements.heard,
        acknowledged: announcements.acknowledgementsSent,
        acknowledgement_heard: announcements.acknowledgementsHeard,
        forged: announcements.forged,
        unchecked: announcements.unchecked,
        subscribed: announcements.subscribed
      })
  },
  {
    name: 'navis_keys_verifications_total',
    help: 'Verifications by outcome: accepted, the reason of the refusal, unavailable, or refused because the budget of unknown tokens was used up.',
    samples: ({ verifier: { accepted, refused, unavailable, budgetRefused } }) => byOutcome({ accepted, ...refused, unavailable, budget: budgetRefused })
  },
  { name: 'navis_keys_stale_entries_total', help: 'Cached entries that the final check found older than a later change, and that were read again.', samples: ({ verifier }) => one(verifier.staleCaught) },
  {
    name: 'navis_keys_lookups_total',
    help: 'Lookups by tier and outcome. connection: the same token came again over the same connection, and no tier was asked. redis: bad_row had no valid HMAC; passed_by did not ask Redis; unasked did not either, because it had none of the keys asked for before. postgres: refused because too many lookups were waiting.',
    samples: ({ verifier, memory, coalescing, redis, postgres }) => [
      ...ofConnection({ hit: verifier.repeated }),
      ...memory === undefined ? [] : ofMemory({ hit: memory.hits, miss: memory.misses }),
      ...coalescing === undefined ? [] : ofCoalescing({ joined: coalescing.joined }),
      ...redis === undefined ? [] : ofRedis({ hit: redis.hits, miss: redis.misses, error: redis.errors, bad_row: redis.badRows, passed_by: redis.passedBy, unasked: redis.unasked }),
      ...ofPostgres({ found: postgres.found, absent: postgres.absent, refused: postgres.refused })
    ]
  },
  { name: 'navis_keys_lookup_statements_total', help: 'Statements that lookups sent to Postgres.', samples: ({ postgres }) => one(postgres.statements) },
  { name: 'navis_keys_lookup_statement_failures_total', help: 'Statements of lookups that Postgres did not answer.', samples: ({ postgres }) => one(postgres.failed) },
  { name: 'navis_keys_lookup_statement_keys_total', help: 'Keys that those statements asked for.', samples: ({ postgres }) => one(postgres.digests) },
  { name: 'navis_keys_lookup_statements_under_way', help: 'Statements of lookups that Postgres has not answered yet.', samples: ({ postgres }) => one(postgres.statementsUnderWay) },
  { name: 'navis_keys_lookups_waiting', help: 'Keys that wait for a statement.', samples: ({ postgres }) => one(postgres.digestsWaiting) },
  { name: 'navis_keys_memory_entries', help: 'Keys held in memory.', samples: ({ memory }) => memory === undefined ? [] : one(memory.entries) },
  {
    name: 'navis_keys_redis_writes_total',
    help: 'Rows for Redis: written, failed, or skipped because Redis is unreachable or more rows wait than may be held, as after Redis was emptied.',
    samples: ({ redis }) => redis === undefined ? [] : byOutcome({ written: redis.written, failed: redis.writesFailed, skipped: redis.writesSkipped })
  },
  { name: 'navis_keys_redis_up', help: '1 while the connection for lookups in Redis is open, 0 while it is not.', samples: ({ redisConnection }) => one(redisConnection && (redisConnection.isUp ? 1 : 0)) },
  {
    name: 'navis_keys_redis_refusals_total',
    help: 'Errors that Redis answered with, by its code, such as READONLY, OOM or NOPERM. MOVED: a Cluster has moved slots, which is followed; or REDIS_URL names a node of a Cluster as a single server, which is not.',
    samples: ({ redisConnection }) => redisConnection === undefined ? [] : byCode(redisConnection.refusals)
  },
  {
    name: 'navis_keys_rate_limit_decisions_total',
    help: 'Uses of keys that have a rate limit: allowed, or refused because the limit was reached.',
    samples: ({ rates: { allowed, refused } }) => byOutcome({ allowed, refused })
  },
  { name: 'navis_keys_rate_limit_keys', help: 'Keys with a rate limit that this replica remembers the use of.', samples: ({ rates }) => one(rates.keys) },
  {
    name: 'navis_keys_rate_limit_settlements_total',
    help: 'Batches of uses that this replica settled over Redis: done, or failed. After a failure each replica allows the whole limit by itself until Redis answers again.',
    samples: ({ rates: { settlements, failures } }) => byOutcome({ done: settlements - failures, failed: failures })
  },
  { name: 'navis_keys_last_used_pending', help: 'Keys whose last use is not written yet.', samples: ({ usage }) => one(usage.pending) },
  { name: 'navis_keys_last_used_written_total', help: 'Last uses written.', samples: ({ usage }) => one(usage.flushed) },
  { name: 'navis_keys_last_used_dropped_total', help: 'Last uses that were dropped because Postgres was unreachable for too long.', samples: ({ usage }) => one(usage.dropped) },
  { name: 'navis_keys_last_used_flushes_total', help: 'Statements that wrote last uses.', samples: ({ usage }) => one(usage.flushes) },
  { name: 'navis_keys_upkeep_steps_total', help: 'Steps of the upkeep: done, or failed and tried again. The upkeep writes events of expiries, revokes unused keys, and deletes rows that are older than their retention.', samples: ({ upkeep }) => upkeep === undefined ? [] : byOutcome({ done: upkeep.steps, failed: upkeep.failures }) },
  { name: 'navis_keys_last_used_failures_total', help: 'Statements that wrote last uses and failed; they are tried again.', samples: ({ usage }) => one(usage.failures) },
  {
    name: inForce,
    help: 'From the commit of a change that restricts keys until it is in force on every replica: fast, every replica acknowledged it; slow, the windows of the others had ended.',
    type: 'histogram',
    samples: ({ window }) => inForceLabels.flatMap(({ path, ofSum, ofCount, ofBuckets }) => {
      const { atMost, count, sumMs } = window.inForce[path]
      return [
        ...ofBuckets.map((labels, place) => ({ value: atMost[place] ?? count, labels, metricName: `${inForce}_bucket` })),
        { value: sumMs / 1000, labels: ofSum, metricName: `${inForce}_sum` },
        { value: count, labels: ofCount, metricName: `${inForce}_count` }
      ]
    })
  }
]

/** The metrics of the engine. No label contains a key, a workspace or a token. */
export function engineMetrics (keys: Pick<Keys, 'stats' | 'window'>): CollectedMetrics<Reading> {
  return new CollectedMetrics({ read: () => ({ ...keys.stats(), window: keys.window.snapshot() }), metrics })
}
