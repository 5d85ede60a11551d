import t from 'tap'
import { readConfig } from '../../src/config/config.ts'
import { keysOptionsOf, type ConfiguredKeysOptions } from '../../src/engine/keys-options-of.ts'
import { createKeys } from '../../src/engine/open-keys.ts'

const environment = { DATABASE_URL: 'postgres://u@127.0.0.1:1/d', MANAGEMENT_TOKENS: `ops=${'x'.repeat(32)}` }

/** A value that is not the default, for every variable that the engine is configured by. */
const rows: { readonly [Name in keyof ConfiguredKeysOptions]: { readonly variable: string, readonly value: string, readonly option: unknown } } = {
  databaseUrl: { variable: 'DATABASE_URL', value: 'postgres://me@127.0.0.1:2/other', option: 'postgres://me@127.0.0.1:2/other' },
  databaseSchema: { variable: 'DATABASE_SCHEMA', value: 'other', option: 'other' },
  databaseConnectionsMax: { variable: 'DATABASE_CONNECTIONS_MAX', value: '7', option: 7 },
  migrate: { variable: 'MIGRATE', value: 'off', option: false },
  requireSynchronous: { variable: 'REQUIRE_SYNCHRONOUS', value: 'on', option: true },
  redisUrl: { variable: 'REDIS_URL', value: 'rediss://127.0.0.1:3/4', option: 'rediss://127.0.0.1:3/4' },
  redisCaFile: { variable: 'REDIS_CA_FILE', value: '/etc/hostname', option: '/etc/hostname' },
  trustWindowMs: { variable: 'TRUST_WINDOW_MS', value: '4321', option: 4321 },
  lastUsedFlushMs: { variable: 'LAST_USED_FLUSH_MS', value: '1234', option: 1234 },
  usageAddresses: { variable: 'USAGE_ADDRESSES', value: 'prefix', option: 'prefix' },
  tokenPrefix: { variable: 'TOKEN_PREFIX', value: 'acme_', option: 'acme_' },
  tokenPrefixesAccepted: { variable: 'TOKEN_PREFIXES_ACCEPTED', value: 'old_, sk_live_', option: ['old_', 'sk_live_'] },
  policy: { variable: 'KEY_UNUSED_DAYS', value: '9', option: { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: 9 } },
  retention: { variable: 'AUDIT_RETENTION_DAYS', value: '9', option: { auditDays: 9, usageDays: 90, callDays: 30, endedKeyDays: null } },
  cache: { variable: 'CACHE', value: 'off', option: false },
  acks: { variable: 'ACKS', value: 'off', option: 'off' },
  memoryEntriesMax: { variable: 'MEMORY_ENTRIES_MAX', value: '77', option: 77 },
  unknownTokensPerMinute: { variable: 'UNKNOWN_TOKENS_PER_MINUTE', value: '88', option: 88 }
}

t.test('every variable of the engine reaches its option, and every option has a variable', async (t) => {
  const all = Object.fromEntries(Object.values(rows).map(({ variable, value }) => [variable, value]))
  const options = keysOptionsOf(readConfig({ ...environment, ...all }))
  t.strictSame(options, Object.fromEntries(Object.entries(rows).map(([name, { option }]) => [name, option])))
  const defaults = keysOptionsOf(readConfig(environment))
  for (const [name, { option }] of Object.entries(rows)) t.not(defaults[name as keyof ConfiguredKeysOptions], option, `${name}: the value of the test is not the default`)
})

t.test('what is to be seen of the engine from outside is as the variables say', async (t) => {
  const engine = (more: Record<string, string>) => createKeys(keysOptionsOf(readConfig({ ...environment, ...more })))
  const keys = engine({ TRUST_WINDOW_MS: '4321', TOKEN_PREFIX: 'acme_' })
  t.equal(keys.window.snapshot().windowMs, 4321)
  t.match(keys.tokens.mint().token, /^acme_/)
  t.not(keys.stats().memory, undefined)
  await keys.close()
  const uncached = engine({ CACHE: 'off' })
  t.equal(uncached.stats().memory, undefined)
  await uncached.close()
})
