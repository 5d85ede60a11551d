import { integer, pgTable, text, timestamp } from 'drizzle-orm/pg-core'

// Three of these names are also names of navis-keys tables. They do not conflict: those are in another schema.

/** Who is signed in to the application itself. */
export const sessions = pgTable('sessions', {
  id: text().primaryKey(),
  person: text().notNull(),
  workspaceId: text('workspace_id').notNull()
})

/** The keys of the doors of a building, which is what this application is about. */
export const keys = pgTable('keys', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  workspaceId: text('workspace_id').notNull(),
  door: text().notNull(),
  holder: text()
})

/** Who did what at which door. */
export const audit = pgTable('audit', {
  id: integer().primaryKey().generatedAlwaysAsIdentity(),
  at: timestamp({ withTimezone: true }).notNull().defaultNow(),
  workspaceId: text('workspace_id').notNull(),
  what: text().notNull()
})
