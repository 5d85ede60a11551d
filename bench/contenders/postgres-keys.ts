import { hash } from 'node:crypto'
import { eq, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/postgres-js'
import postgres from 'postgres'
import { defaultSchema, tablesIn } from '../../src/db/schema.ts'

/** What an application without us would write: one query by digest a request, prepared on each of ten connections. */
export function postgresKeys (databaseUrl: string): (token: string) => Promise<boolean> {
  const { keys, tokens } = tablesIn(defaultSchema)
  const findKey = drizzle(postgres(databaseUrl, { max: 10 }))
    .select({ id: keys.id, scope: keys.scope, expiresAt: keys.expiresAt, revokedAt: keys.revokedAt })
    .from(tokens).innerJoin(keys, eq(keys.id, tokens.keyId))
    .where(eq(tokens.digest, sql.placeholder('digest')))
    .limit(1)
    .prepare('bench_find_key')
  return async function accepts (token) {
    const [key] = await findKey.execute({ digest: hash('sha256', token, 'buffer') })
    return key !== undefined && key.revokedAt === null && (key.expiresAt === null || key.expiresAt.getTime() > Date.now()) &&
      (key.scope === 'mcp:read' || key.scope === 'mcp:write')
  }
}
