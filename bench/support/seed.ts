import { createWriteStream } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import postgres from 'postgres'
import { digestToBytes, type RateLimit } from '../../src/core/key-record.ts'
import { TokenFormat } from '../../src/core/token.ts'

interface SeedOptions {
  readonly databaseUrl: string
  readonly count: number
  /** Where the file with the tokens goes. */
  readonly dir: string
  readonly workspaceId?: string
  /** Keys beyond this many begin a further workspace, `{workspaceId}-1` and so on. All in one. */
  readonly keysPerWorkspace?: number
  /** Of each key. None. */
  readonly rateLimit?: RateLimit
}

const perStatement = 5000

/**
 * Writes keys straight into the table, thousands in a statement, as a migration from another service would, and their
 * tokens into a file, one a line. Nobody has been refused these tokens before, so the log need not tell of them.
 */
export async function seedKeys ({ databaseUrl, count, dir, workspaceId = 'bench', keysPerWorkspace = count, rateLimit }: SeedOptions): Promise<string> {
  const format = new TokenFormat()
  const file = join(dir, `tokens-${workspaceId}-${count}`)
  const out = createWriteStream(file, { mode: 0o600 })
  const sql = postgres(databaseUrl, { max: 1, onnotice: () => {}, fetch_types: false })
  try {
    for (let from = 0; from < count; from += perStatement) {
      const keys = Array.from({ length: Math.min(perStatement, count - from) }, (_, i) => ({ ...format.mint(), index: from + i }))
      const rows = keys.map(({ digest, hint, index }) => [digestToBytes(digest).toString('hex'), hint, homeOf(index), `Bench key ${index}`])
      await sql.unsafe(`
        with given as materialized (
          select gen_random_uuid() as id, decode(row->>0, 'hex') as digest, row->>1 as hint, row->>2 as workspace_id, row->>3 as name
          from jsonb_array_elements($1::text::jsonb) as row
        ), made as (
          insert into navis_keys.keys (id, workspace_id, owner_id, name, scope, metadata, created_at, created_by, rate_requests, rate_window_seconds)
          select id, workspace_id, 'bench-owner', name, 'mcp:write', '{}', now() - $2::int * interval '1 ms' , 'bench', $3::int, $4::int from given
        ), unused as (
          insert into navis_keys.key_usage (key_id, workspace_id) select id, workspace_id from given
        )
        insert into navis_keys.tokens (digest, key_id, hint) select digest, id, hint from given`, [JSON.stringify(rows), String(from), rateLimit?.requests ?? null, rateLimit?.windowSeconds ?? null])
      if (!out.write(keys.map(({ token }) => `${token}\n`).join(''))) await once(out, 'drain')
    }
    await sql.unsafe('analyze navis_keys.keys, navis_keys.tokens')
  } finally {
    await sql.end({ timeout: 5 })
    out.end()
    await once(out, 'close')
  }
  return file

  function homeOf (index: number): string {
    const number = Math.floor(index / keysPerWorkspace)
    return number === 0 ? workspaceId : `${workspaceId}-${number}`
  }
}

/** A file with well-formed tokens of no key at all. */
export async function unknownTokens (dir: string, count: number): Promise<string> {
  const format = new TokenFormat()
  const file = join(dir, `unknown-${count}`)
  const out = createWriteStream(file, { mode: 0o600 })
  for (let i = 0; i < count; i++) {
    if (!out.write(`${format.mint().token}\n`)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
  return file
}
