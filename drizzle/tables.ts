import { pgSchema } from 'drizzle-orm/pg-core'
import { defaultSchema, tablesIn } from '../src/db/schema.ts'

// What the migration generator reads: every table, in the default schema.
export const schema = pgSchema(defaultSchema)
export const {
  keys, tokens, keyUsage, usageDays, usageTools, usageBatches, usageGaps, walks, calls, audit, idempotency, policies, events, eventClock, receivers, deliveries,
  revocationClock, revocationLog, windowMembers, sessions
} = tablesIn(defaultSchema)
