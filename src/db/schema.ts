import { sql } from 'drizzle-orm'
import { bigint, boolean, check, customType, index, integer, jsonb, pgTable, primaryKey, smallint, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core'

const bytea = customType<{ data: Buffer, driverData: Buffer }>({ dataType: () => 'bytea' })
const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })
const position = (name: string) => bigint(name, { mode: 'number' })

/** Workspaces and owners are plain ids of the host application; they have no tables here. */
export const keys = pgTable('keys', {
  id: uuid('id').primaryKey(),
  digest: bytea('digest').notNull(),
  workspaceId: text('workspace_id').notNull(),
  ownerId: text('owner_id'),
  name: text('name').notNull(),
  scope: text('scope').notNull(),
  hint: text('hint').notNull(),
  metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
  createdAt: time('created_at').notNull().default(sql`clock_timestamp()`),
  createdBy: text('created_by').notNull(),
  expiresAt: time('expires_at'),
  revokedAt: time('revoked_at'),
  revokedBy: text('revoked_by'),
  revokeReason: text('revoke_reason')
}, (table) => [
  uniqueIndex('keys_digest').on(table.digest),
  // One index for each list that a page shows; all of them newest first, in keyset order.
  index('keys_list_all').on(table.workspaceId, table.createdAt.desc(), table.id.desc()),
  index('keys_list_unrevoked').on(table.workspaceId, table.createdAt.desc(), table.id.desc()).where(sql`revoked_at is null`),
  index('keys_list_revoked').on(table.workspaceId, table.createdAt.desc(), table.id.desc()).where(sql`revoked_at is not null`),
  index('keys_list_owner').on(table.workspaceId, table.ownerId, table.createdAt.desc(), table.id.desc()),
  index('keys_list_owner_unrevoked').on(table.workspaceId, table.ownerId, table.createdAt.desc(), table.id.desc()).where(sql`revoked_at is null`),
  index('keys_list_expiring').on(table.workspaceId, table.expiresAt).where(sql`revoked_at is null and expires_at is not null`),
  check('keys_digest_length', sql`octet_length(${table.digest}) = 32`),
  check('keys_scope', sql`${table.scope} in ('mcp:read', 'mcp:write')`),
  check('keys_name_length', sql`char_length(${table.name}) between 1 and 100`),
  check('keys_revoked_whole', sql`(${table.revokedAt} is null) = (${table.revokedBy} is null)`)
])

/** Apart from the key's row, so that a batch of uses never touches, locks or bloats what verification reads (R14). */
export const keyUsage = pgTable('key_usage', {
  keyId: uuid('key_id').primaryKey(),
  lastUsedAt: time('last_used_at').notNull()
})

export const audit = pgTable('audit', {
  id: uuid('id').primaryKey(),
  workspaceId: text('workspace_id').notNull(),
  keyId: uuid('key_id'),
  action: text('action').notNull(),
  actor: text('actor').notNull(),
  at: time('at').notNull().default(sql`clock_timestamp()`),
  details: jsonb('details').$type<Record<string, string | number | null>>().notNull().default({})
}, (table) => [
  index('audit_list').on(table.workspaceId, table.at.desc(), table.id.desc())
])

/** Answers to repeated creates. The client's key is kept as a SHA-256: people put anything in a header. */
export const idempotency = pgTable('idempotency', {
  workspaceId: text('workspace_id').notNull(),
  requestDigest: bytea('request_digest').notNull(),
  bodyDigest: bytea('body_digest').notNull(),
  keyId: uuid('key_id').notNull(),
  createdAt: time('created_at').notNull().default(sql`clock_timestamp()`)
}, (table) => [
  primaryKey({ columns: [table.workspaceId, table.requestDigest] }),
  index('idempotency_age').on(table.createdAt)
])

/**
 * One row: the revocation clock. Its row lock, held until commit, makes commit order and `seq` order the same
 * (R1); a sequence would not. `prunedTo`: log rows up to here may have been deleted. `windowMs`: the longest
 * trust window of any living member. `rowSecret`: the key of the HMAC over rows and hints in Redis (R0).
 */
export const revocationClock = pgTable('revocation_clock', {
  id: smallint('id').primaryKey(),
  seq: position('seq').notNull(),
  prunedTo: position('pruned_to').notNull(),
  windowMs: integer('window_ms').notNull(),
  rowSecret: bytea('row_secret').notNull()
}, (table) => [
  check('revocation_clock_single', sql`${table.id} = 1`)
])

/** What has been taken away, or changed, in order. Neither digest nor workspace: everything. */
export const revocationLog = pgTable('revocation_log', {
  seq: position('seq').primaryKey(),
  action: text('action').notNull(),
  digest: bytea('digest'),
  workspaceId: text('workspace_id'),
  at: time('at').notNull().default(sql`clock_timestamp()`)
}, (table) => [
  check('revocation_log_action', sql`${table.action} in ('revoke', 'change')`),
  check('revocation_log_target', sql`${table.digest} is null or ${table.workspaceId} is null`)
])

/** Every process with a cache of its own: up to where it has applied the log, and how often it has renewed. */
export const windowMembers = pgTable('window_members', {
  id: uuid('id').primaryKey(),
  acked: position('acked').notNull().default(0),
  renewals: position('renewals').notNull().default(0),
  windowMs: integer('window_ms').notNull(),
  joinedAt: time('joined_at').notNull().default(sql`clock_timestamp()`),
  deadAt: time('dead_at')
})

/** People who are signed in to the settings page. The cookie holds a secret; here is its SHA-256. */
export const sessions = pgTable('sessions', {
  digest: bytea('digest').primaryKey(),
  workspaceId: text('workspace_id').notNull(),
  ownerId: text('owner_id'),
  personName: text('person_name').notNull(),
  actor: text('actor').notNull(),
  admin: boolean('admin').notNull(),
  startedAt: time('started_at').notNull().default(sql`clock_timestamp()`),
  seenAt: time('seen_at').notNull().default(sql`clock_timestamp()`),
  endsAt: time('ends_at').notNull()
}, (table) => [
  index('sessions_ends').on(table.endsAt),
  check('sessions_digest_length', sql`octet_length(${table.digest}) = 32`)
])
