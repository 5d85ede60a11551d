import { hash, randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'

interface StoredKey {
  readonly id: string
  readonly scope: string
  /** In milliseconds since 1970. */
  readonly expiresAt: number
}

const perCommand = 10_000

/** What an application without us would write: a record under the token's digest, one GET a request. */
export function redisKeys (redisUrl: string): (token: string) => Promise<boolean> {
  const redis = new Redis(redisUrl)
  return async function accepts (token) {
    const text = await redis.get(nameOf(token))
    if (text === null) return false
    const { scope, expiresAt } = JSON.parse(text) as StoredKey
    return expiresAt > Date.now() && (scope === 'mcp:read' || scope === 'mcp:write')
  }
}

/** Puts a record for each token of a file into Redis, where nothing else is kept. */
export async function seedRedisKeys ({ redisUrl, tokensFile }: { readonly redisUrl: string, readonly tokensFile: string }): Promise<void> {
  const tokens = (await readFile(tokensFile, 'utf8')).trimEnd().split('\n')
  const expiresAt = Date.now() + 365 * 86_400_000
  const redis = new Redis(redisUrl)
  try {
    for (let from = 0; from < tokens.length; from += perCommand) {
      await redis.mset(tokens.slice(from, from + perCommand).flatMap((token) => {
        const key: StoredKey = { id: randomUUID(), scope: 'mcp:write', expiresAt }
        return [nameOf(token), JSON.stringify(key)]
      }))
    }
  } finally {
    redis.disconnect()
  }
}

function nameOf (token: string): string {
  return `key:${hash('sha256', token, 'hex')}`
}
