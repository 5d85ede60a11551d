import { sql } from 'drizzle-orm'
import {
  bigint, boolean, check, customType, date, index, integer, jsonb, pgSchema, primaryKey, smallint, text, timestamp, uniqueIndex, uuid
} from 'drizzle-orm/pg-core'
import { schemaName as rule } from '../core/database-address.ts'

const isSchemaName = new RegExp(rule.pattern)
const bytea = customType<{ data: Buffer, driverData: Buffer }>({ dataType: () => 'bytea' })
const byteas = customType<{ data: Buffer[], driverData: string }>({ dataType: () => 'bytea[]' })
const texts = customType<{ data: string[], driverData: string }>({ dataType: () => 'text[]' })
const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })
const now = sql`clock_timestamp()`
const position = (name: string) => bigint(name, { mode: 'number' })
const count = (name: string) => bigint(name, { mode: 'number' }).notNull().default(0)

/** The schema that holds every table unless a setting names another one. */
export const defaultSchema = 'navis_keys'

export type Tables = ReturnType<typeof makeTables>

const made = new Map<string, Tables>()

/** Every table of ours, in the schema of that name: an identifier of lower-case letters, digits and underscores. */
export function tablesIn (schemaName: string): Tables {
  if (!isSchemaName.test(schemaName)) throw new TypeError(`The name of the schema must be ${rule.says}.`)
  let tables = made.get(schemaName)
  if (tables === undefined) made.set(schemaName, tables = makeTables(schemaName))
  return tables
}

function makeTables (schemaName: string) {
  const schema = pgSchema(schemaName)

  /** Workspaces and owners are plain ids of the host application; they have no tables here. */
  const keys = schema.table('keys', {
    id: uuid('id').primaryKey(),
    workspaceId: text('workspace_id').notNull(),
    ownerId: text('owner_id'),
    name: text('name').notNull(),
    scope: text('scope').notNull(),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    /** CIDR ranges in their canonical form; null: every address. */
    allowedCidrs: texts('allowed_cidrs'),
    rateRequests: integer('rate_requests'),
    rateWindowSeconds: integer('rate_window_seconds'),
    createdAt: time('created_at').notNull().default(now),
    createdBy: text('created_by').notNull(),
    /** When the current token was made, where it is not the first. Never the same for two rotations of one key. */
    rotatedAt: time('rotated_at'),
    expiresAt: time('expires_at'),
    revokedAt: time('revoked_at'),
    revokedBy: text('revoked_by'),
    revokeReason: text('revoke_reason'),
    /** Its owner was erased: what is told of its use afterwards is kept without a person. */
    erased: boolean('erased').notNull().default(false),
    /** The days before the expiry that the newest notice spoke of: 7, 1, or 0 for the expiry itself. Null again when the expiry moves. */
    expiryNotice: smallint('expiry_notice'),
    /** When an event said that the key will be revoked because it is not used. */
    unusedNoticeAt: time('unused_notice_at'),
    /** 2: revoked. 1: known to be expired, which the upkeep writes down soon after. 0: neither, so far. For the lists. */
    ended: smallint('ended').notNull().generatedAlwaysAs(sql`case when revoked_at is not null then 2 when expiry_notice = 0 then 1 else 0 end`)
  }, (table) => [
    // One index for each list that a page shows; all of them newest first, in keyset order.
    index('keys_list_status').on(table.workspaceId, table.ended, table.createdAt.desc(), table.id.desc()),
    index('keys_list_owner').on(table.workspaceId, table.ownerId, table.ended, table.createdAt.desc(), table.id.desc()),
    index('keys_list_scope').on(table.workspaceId, table.scope, table.ended, table.createdAt.desc(), table.id.desc()),
    index('keys_list_expiring').on(table.workspaceId, table.expiresAt).where(sql`ended = 0 and expires_at is not null`),
    // For the upkeep: by what was told last, so that keys that were told of are not looked at again.
    index('keys_due').on(table.expiryNotice, table.expiresAt).where(sql`ended = 0 and expires_at is not null`),
    check('keys_scope', sql`${table.scope} in ('mcp:read', 'mcp:write')`),
    check('keys_name_length', sql`char_length(${table.name}) between 1 and 100`),
    check('keys_rate_whole', sql`(${table.rateRequests} is null) = (${table.rateWindowSeconds} is null)`),
    check('keys_revoked_whole', sql`(${table.revokedAt} is null) = (${table.revokedBy} is null)`)
  ])

  /**
   * What a key's client presents, as SHA-256. A key has one current token, and for the length of a rotation's grace the one before it.
   * `endsAt`: when this token ends although its key goes on; null: with its key.
   */
  const tokens = schema.table('tokens', {
    digest: bytea('digest').primaryKey(),
    keyId: uuid('key_id').notNull().references(() => keys.id, { onDelete: 'cascade' }),
    hint: text('hint').notNull(),
    madeAt: time('made_at').notNull().default(now),
    isCurrent: boolean('is_current').notNull().default(true),
    endsAt: time('ends_at'),
    /** Set while the first use of this token is awaited: from then on the one before it lives for so many seconds at most. */
    graceSeconds: integer('grace_seconds'),
    /** When an event last said that this token was used although it had ended. */
    endedUseAt: time('ended_use_at')
  }, (table) => [
    uniqueIndex('tokens_current').on(table.keyId).where(sql`is_current`),
    index('tokens_key').on(table.keyId),
    check('tokens_digest_length', sql`octet_length(${table.digest}) = 32`)
  ])

  /** Apart from the key's row, so that a batch of uses never touches, locks or bloats what verification reads (R15). */
  const keyUsage = schema.table('key_usage', {
    keyId: uuid('key_id').primaryKey(),
    workspaceId: text('workspace_id').notNull(),
    /** null: never. Every key has a row from its creation on, so that lists in the order of the last use have all keys. */
    lastUsedAt: time('last_used_at'),
    address: text('address'),
    client: text('client'),
    /** To the minute: the index of the lists changes at most once a minute for each key, and all other updates stay HOT. */
    usedMinute: time('used_minute').notNull().generatedAlwaysAs(sql`coalesce(date_bin('1 minute', last_used_at, 'epoch'), 'epoch')`)
  }, (table) => [
    index('key_usage_list').on(table.workspaceId, table.usedMinute.desc(), table.keyId.desc())
  ])

  /** What became of a key's verifications on one day (UTC). */
  const usageDays = schema.table('usage_days', {
    keyId: uuid('key_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    accepted: count('accepted'),
    revoked: count('revoked'),
    expired: count('expired'),
    insufficientScope: count('insufficient_scope'),
    addressNotAllowed: count('address_not_allowed'),
    rateLimited: count('rate_limited')
  }, (table) => [
    primaryKey({ columns: [table.keyId, table.day] }),
    index('usage_days_age').on(table.day)
  ])

  /** Which batches of uses have been counted: one that is sent again, because its answer got lost, counts once. */
  const usageBatches = schema.table('usage_batches', {
    id: uuid('id').primaryKey(),
    at: time('at').notNull().default(now)
  }, (table) => [
    index('usage_batches_age').on(table.at)
  ])

  /** Which replicas cannot write what keys were used for (`isOpen`), or have lost some of it, and when that was last so. */
  const usageGaps = schema.table('usage_gaps', {
    replica: uuid('replica').primaryKey(),
    at: time('at').notNull().default(now),
    isOpen: boolean('is_open').notNull()
  })

  /** Long walks through the keys, in steps: after which key the next step goes on, and from when on. One replica at a time takes a step. */
  const walks = schema.table('walks', {
    name: text('name').primaryKey(),
    place: uuid('place'),
    nextAt: time('next_at').notNull().default(now)
  })

  const usageTools = schema.table('usage_tools', {
    keyId: uuid('key_id').notNull(),
    day: date('day', { mode: 'string' }).notNull(),
    tool: text('tool').notNull(),
    calls: count('calls'),
    denied: count('denied'),
    failed: count('failed')
  }, (table) => [
    primaryKey({ columns: [table.keyId, table.day, table.tool] }),
    index('usage_tools_age').on(table.day)
  ])

  /** The gateway's calls: who called what, never with which arguments. */
  const calls = schema.table('calls', {
    id: uuid('id').primaryKey(),
    at: time('at').notNull(),
    workspaceId: text('workspace_id').notNull(),
    keyId: uuid('key_id').notNull(),
    upstream: text('upstream').notNull(),
    method: text('method').notNull(),
    tool: text('tool'),
    decision: text('decision').notNull(),
    status: integer('status').notNull(),
    ms: integer('ms').notNull()
  }, (table) => [
    index('calls_list').on(table.workspaceId, table.at.desc(), table.id.desc()),
    index('calls_key').on(table.keyId, table.at.desc(), table.id.desc()),
    index('calls_age').on(table.at),
    check('calls_decision', sql`${table.decision} in ('passed', 'denied', 'failed')`)
  ])

  const audit = schema.table('audit', {
    id: uuid('id').primaryKey(),
    workspaceId: text('workspace_id').notNull(),
    keyId: uuid('key_id'),
    action: text('action').notNull(),
    actor: text('actor').notNull(),
    at: time('at').notNull().default(now),
    details: jsonb('details').$type<Record<string, unknown>>().notNull().default({})
  }, (table) => [
    index('audit_list').on(table.workspaceId, table.at.desc(), table.id.desc()),
    index('audit_key').on(table.workspaceId, table.keyId, table.at.desc(), table.id.desc()),
    index('audit_age').on(table.at),
    index('audit_actor').on(table.workspaceId, table.actor, table.at.desc(), table.id.desc())
  ])

  /** Answers to repeated creates and rotations. The client's key is kept as a SHA-256: people put anything in a header. */
  const idempotency = schema.table('idempotency', {
    workspaceId: text('workspace_id').notNull(),
    requestDigest: bytea('request_digest').notNull(),
    bodyDigest: bytea('body_digest').notNull(),
    keyId: uuid('key_id').notNull(),
    createdAt: time('created_at').notNull().default(now)
  }, (table) => [
    primaryKey({ columns: [table.workspaceId, table.requestDigest] }),
    index('idempotency_age').on(table.createdAt)
  ])

  /** How long the keys of a workspace may live; null: no such rule. The stricter of this and the settings counts. */
  const policies = schema.table('policies', {
    workspaceId: text('workspace_id').primaryKey(),
    maxLifetimeDays: integer('max_lifetime_days'),
    defaultLifetimeDays: integer('default_lifetime_days'),
    unusedDays: integer('unused_days'),
    updatedAt: time('updated_at').notNull().default(now),
    updatedBy: text('updated_by').notNull()
  })

  /**
   * What happened to keys, for those who want to be told. A row is written in the change's transaction and gets its `place` soon after: places are
   * given under the lock of `event_clock`, so a reader who goes on after the last place that it saw misses none.
   */
  const events = schema.table('events', {
    id: uuid('id').primaryKey(),
    /** Events of one key are in order by it, since each change of a key holds the key's row. Of several keys it says nothing. */
    seq: bigint('seq', { mode: 'number' }).generatedAlwaysAsIdentity(),
    place: bigint('place', { mode: 'number' }),
    type: text('type').notNull(),
    workspaceId: text('workspace_id').notNull(),
    keyId: uuid('key_id').notNull(),
    at: time('at').notNull().default(now),
    data: jsonb('data').$type<Record<string, unknown>>().notNull()
  }, (table) => [
    uniqueIndex('events_place').on(table.place),
    index('events_new').on(table.seq).where(sql`place is null`),
    index('events_key').on(table.keyId, table.place),
    index('events_age').on(table.at)
  ])

  /** One row: the last place that an event has got. */
  const eventClock = schema.table('event_clock', {
    id: smallint('id').primaryKey(),
    place: position('place').notNull()
  }, (table) => [
    check('event_clock_single', sql`${table.id} = 1`)
  ])

  /** Up to which event each receiver of webhooks has been given deliveries. */
  const receivers = schema.table('receivers', {
    /** The SHA-256 of its URL. */
    receiver: bytea('receiver').primaryKey(),
    place: position('place').notNull(),
    seenAt: time('seen_at').notNull().default(now)
  })

  /**
   * One row for each receiver and key while there are events of the key that the receiver has not confirmed: `place` is the first of them, and the others
   * wait for it. While a replica sends it, `nextAt` is when its time is over and another one may take it; `attempts` tells the two apart.
   */
  const deliveries = schema.table('deliveries', {
    receiver: bytea('receiver').notNull(),
    keyId: uuid('key_id').notNull(),
    place: position('place').notNull(),
    attempts: integer('attempts').notNull().default(0),
    nextAt: time('next_at').notNull().default(now)
  }, (table) => [
    primaryKey({ columns: [table.receiver, table.keyId] }),
    index('deliveries_due').on(table.receiver, table.nextAt),
    index('deliveries_oldest').on(table.receiver, table.place),
    index('deliveries_key').on(table.keyId)
  ])

  /**
   * One row: the revocation clock. Its row lock, held until commit, makes commit order and `seq` order the same
   * (R1); a sequence would not. `lineage` names the history that this database tells, `former` the one before it (R9).
   * `prunedTo`: log rows up to here may have been deleted. `windowMs`: the longest trust window of any living member.
   * `rowSecret`: from it and the lineage comes the key of every HMAC in Redis (R0).
   */
  const revocationClock = schema.table('revocation_clock', {
    id: smallint('id').primaryKey(),
    seq: position('seq').notNull(),
    prunedTo: position('pruned_to').notNull(),
    windowMs: integer('window_ms').notNull(),
    lineage: uuid('lineage').notNull(),
    former: uuid('former'),
    rowSecret: bytea('row_secret').notNull()
  }, (table) => [
    check('revocation_clock_single', sql`${table.id} = 1`)
  ])

  /** What has been taken away, or changed, in order: the tokens of a key, a workspace, or everything where neither is given. */
  const revocationLog = schema.table('revocation_log', {
    seq: position('seq').primaryKey(),
    action: text('action').notNull(),
    digests: byteas('digests'),
    workspaceId: text('workspace_id'),
    at: time('at').notNull().default(now)
  }, (table) => [
    check('revocation_log_action', sql`${table.action} in ('revoke', 'change')`),
    check('revocation_log_target', sql`${table.digests} is null or ${table.workspaceId} is null`)
  ])

  /** Every process with a cache of its own: up to where it has applied the log, in which history, and its newest beat. */
  const windowMembers = schema.table('window_members', {
    id: uuid('id').primaryKey(),
    acked: position('acked').notNull().default(0),
    beat: uuid('beat'),
    lineage: uuid('lineage'),
    windowMs: integer('window_ms').notNull(),
    joinedAt: time('joined_at').notNull().default(now),
    deadAt: time('dead_at')
  })

  /** People who are signed in to the settings page. The cookie holds a secret; here is its SHA-256. */
  const sessions = schema.table('sessions', {
    digest: bytea('digest').primaryKey(),
    workspaceId: text('workspace_id').notNull(),
    ownerId: text('owner_id'),
    personName: text('person_name').notNull(),
    actor: text('actor').notNull(),
    admin: boolean('admin').notNull(),
    /** SHA-256 of the management token that opened it; null: an OpenID provider did. */
    credential: bytea('credential'),
    startedAt: time('started_at').notNull().default(now),
    seenAt: time('seen_at').notNull().default(now),
    endsAt: time('ends_at').notNull()
  }, (table) => [
    index('sessions_ends').on(table.endsAt),
    check('sessions_digest_length', sql`octet_length(${table.digest}) = 32`)
  ])

  return {
    schemaName,
    keys,
    tokens,
    keyUsage,
    usageDays,
    usageTools,
    usageBatches,
    usageGaps,
    walks,
    calls,
    audit,
    idempotency,
    policies,
    events,
    eventClock,
    receivers,
    deliveries,
    revocationClock,
    revocationLog,
    windowMembers,
    sessions
  }
}
