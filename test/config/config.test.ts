import { addressOf } from '../../src/db/open-socket.ts'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, readConfig, type Environment } from '../../src/config/config.ts'
import { settingNames } from '../../src/config/settings.ts'
import { settingsPage } from '../support/settings-page.ts'

const secret = 'k'.repeat(32)
const otherSecret = 'o'.repeat(32)
const database = 'postgres://user:hush-hush@localhost/keys'

function faultsOf (environment: Environment): readonly string[] {
  try {
    readConfig(environment)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.faults
    throw error
  }
}

t.test('an empty environment gives the embedded service with the documented defaults', async (t) => {
  t.same(readConfig({}), {
    host: '127.0.0.1',
    port: 8080,
    databaseUrl: undefined,
    databaseSchema: 'navis_keys',
    databaseConnectionsMax: 10,
    migrates: true,
    requireSynchronous: false,
    policy: { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: null },
    retention: { auditDays: null, usageDays: 90, callDays: 30, endedKeyDays: null },
    redisUrl: undefined,
    dataDir: './data',
    managementTokens: [],
    serviceTokens: [],
    trustWindowMs: 10_000,
    lastUsedFlushMs: 5000,
    usageAddresses: 'full',
    logLevel: 'info',
    logFormat: 'auto',
    isTraced: false,
    trustedProxies: [],
    unknownTokensPerMinute: 600,
    memoryEntriesMax: 100_000,
    tokenPrefix: 'nops_',
    tokenPrefixesAccepted: [],
    leaksGithubKeys: 'https://api.github.com/meta/public_keys/secret_scanning',
    apiKeyHeader: 'x-api-key',
    cache: true,
    acks: 'all',
    pages: {
      publicUrl: undefined,
      mcpUrl: undefined,
      signIn: { way: 'management-token' },
      sessionLimits: { idleMs: 1_800_000, lifetimeMs: 28_800_000 },
      frameOrigins: [],
      brand: { name: 'Navis Keys', logoFile: undefined, cssFile: undefined }
    }
  })
})

t.test('traces are made where an endpoint is named, and not where the standard variables switch them off', async (t) => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' }
  t.equal(readConfig(endpoint).isTraced, true)
  t.equal(readConfig({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:4318/v1/traces' }).isTraced, true)
  t.equal(readConfig({ ...endpoint, OTEL_SDK_DISABLED: 'true' }).isTraced, false)
  t.equal(readConfig({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' }).isTraced, false)
  for (const name of ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']) {
    for (const none of ['nonsense', 'collector:4318', 'file:///tmp/spans']) {
      t.throws(() => readConfig({ [name]: none }), new ConfigError([`${name} must be the URL of an OpenTelemetry collector, such as http://collector:4318.`]), `${name}=${none}`)
      t.equal(readConfig({ [name]: none, OTEL_SDK_DISABLED: 'true' }).isTraced, false)
    }
    t.equal(readConfig({ [name]: 'collector:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }).isTraced, true)
    t.throws(() => readConfig({ [name]: 'a collector', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }), ConfigError)
  }
})

t.test('a second header may have any name that means nothing else', async (t) => {
  for (const name of ['X-Auth-Token', 'x-accept', 'api-key', 'Update']) t.equal(readConfig({ API_KEY_HEADER: name }).apiKeyHeader, name)
})

t.test('an empty setting counts as unset, unless empty is a value of it', async (t) => {
  const { apiKeyHeader, ...others } = readConfig(Object.fromEntries(settingNames.map((name) => [name, ''])))
  const { apiKeyHeader: unset, ...defaults } = readConfig({})
  t.same(others, defaults)
  t.equal(apiKeyHeader, '')
  t.equal(unset, 'x-api-key')
})

t.test('settings are read, and the rest of the environment is left alone', async (t) => {
  const environment = {
    PATH: '/bin',
    PORT: '9000',
    DATABASE_URL: database,
    MANAGEMENT_TOKENS: `ann=${secret}, ci.bot=${otherSecret}==`,
    TRUSTED_PROXIES: '10.0.0.0/8, ::1',
    CACHE: 'off',
    TRUST_WINDOW_MS: '1000'
  }
  const before = { ...environment }
  t.match(readConfig(environment), {
    port: 9000,
    databaseUrl: database,
    managementTokens: [{ name: 'ann', secret }, { name: 'ci.bot', secret: `${otherSecret}==` }],
    trustedProxies: ['10.0.0.0/8', '::1'],
    cache: false,
    trustWindowMs: 1000
  })
  t.same(environment, before)
})

t.test('lists of secrets are separated by commas, line breaks, or both, as every other list', async (t) => {
  const expected = [{ name: 'a', secret }, { name: 'b', secret: otherSecret }]
  for (const separator of [',', '\n', '\r\n', ',\n', ', ', '\n\n', ' ,\r\n  ']) {
    t.same(readConfig({ MANAGEMENT_TOKENS: `a=${secret}${separator}b=${otherSecret}${separator}` }).managementTokens, expected, JSON.stringify(separator))
  }
})

const refused = [
  { when: 'a port is no number', env: { PORT: 'hush-hush' }, fault: /^PORT must be a port from 0 to 65535/ },
  { when: 'a port is too high', env: { PORT: '65536' }, fault: /^PORT must be/ },
  { when: 'a trust window is too short to renew in', env: { TRUST_WINDOW_MS: '999' }, fault: /^TRUST_WINDOW_MS must be .* from 1000 to 600000/ },
  { when: 'a trust window is longer than ten minutes', env: { TRUST_WINDOW_MS: '600001' }, fault: /^TRUST_WINDOW_MS must be/ },
  { when: 'a trust window has a fraction', env: { TRUST_WINDOW_MS: '1000.5' }, fault: /^TRUST_WINDOW_MS must be/ },
  { when: 'the log level is unknown', env: { LOG_LEVEL: 'hush-hush' }, fault: /^LOG_LEVEL must be one of/ },
  { when: 'a switch is neither on nor off', env: { CACHE: 'true' }, fault: /^CACHE must be on or off/ },
  { when: 'the database is no Postgres', env: { DATABASE_URL: 'mysql://hush-hush@x/y', MANAGEMENT_TOKENS: `a=${secret}` }, fault: /^DATABASE_URL cannot be used: it is not a URL such as postgres:/ },
  { when: 'the database URL cannot be parsed', env: { DATABASE_URL: 'postgres://hush-hush@:x/y', MANAGEMENT_TOKENS: `a=${secret}` }, fault: /^DATABASE_URL cannot be used: a host in it/ },
  { when: 'the Redis URL cannot be parsed', env: { REDIS_URL: 'redis://hush-hush@:x' }, fault: /^REDIS_URL has a host that is not host:port/ },
  { when: 'there is a database and no management token', env: { DATABASE_URL: database }, fault: /^MANAGEMENT_TOKENS is needed with a database of your own .*openssl/ },
  { when: 'a secret has 31 characters', env: { MANAGEMENT_TOKENS: `a=${'k'.repeat(31)}` }, fault: /^MANAGEMENT_TOKENS: entry 1 has a secret that is too short.*openssl/ },
  { when: 'a secret has a quote', env: { SERVICE_TOKENS: `a=${secret}"` }, fault: /^SERVICE_TOKENS: entry 1 .*quote/ },
  { when: 'a secret has a backslash', env: { SERVICE_TOKENS: `a=${secret}\\` }, fault: /^SERVICE_TOKENS: entry 1 .*backslash/ },
  { when: 'a secret has a space', env: { SERVICE_TOKENS: `a=${secret} k` }, fault: /^SERVICE_TOKENS: entry 1 .*space/ },
  { when: 'a secret has a letter beyond ASCII', env: { SERVICE_TOKENS: `a=${secret}é` }, fault: /^SERVICE_TOKENS: entry 1 .*ASCII/ },
  { when: 'a secret has no name', env: { MANAGEMENT_TOKENS: 'hush-hush'.repeat(5) }, fault: /^MANAGEMENT_TOKENS: entry 1 is not of the form name=secret/ },
  { when: 'there is a database and a list of management tokens without an entry', env: { DATABASE_URL: database, MANAGEMENT_TOKENS: ',\n' }, fault: /^MANAGEMENT_TOKENS is needed with a database of your own/ },
  { when: 'a name comes twice', env: { MANAGEMENT_TOKENS: `a=${secret},a=${otherSecret}` }, fault: /^MANAGEMENT_TOKENS: entry 2 has the same name as an earlier entry/ },
  { when: 'a secret comes twice', env: { MANAGEMENT_TOKENS: `a=${secret}`, SERVICE_TOKENS: `b=${secret}` }, fault: /a secret occurs twice/ },
  { when: 'a secret looks like a key', env: { MANAGEMENT_TOKENS: `a=nops_${secret}` }, fault: /^MANAGEMENT_TOKENS: entry 1 .*keys never manage keys/ },
  { when: 'a secret looks like a key of another prefix', env: { TOKEN_PREFIX: 'acme_', SERVICE_TOKENS: `a=acme_${secret}` }, fault: /^SERVICE_TOKENS: entry 1 .*looks like an API key/ },
  { when: 'a secret looks like a key of an accepted prefix', env: { TOKEN_PREFIXES_ACCEPTED: 'old_,sk_live_', SERVICE_TOKENS: `a=sk_live_${secret}` }, fault: /^SERVICE_TOKENS: entry 1 .*looks like an API key/ },
  { when: 'an accepted prefix is too short', env: { TOKEN_PREFIXES_ACCEPTED: 'old_,s' }, fault: /^TOKEN_PREFIXES_ACCEPTED must be/ },
  { when: 'an accepted prefix holds what no token does', env: { TOKEN_PREFIXES_ACCEPTED: 'old:' }, fault: /^TOKEN_PREFIXES_ACCEPTED must be/ },
  { when: 'the token prefix has no underscore', env: { TOKEN_PREFIX: 'nops' }, fault: /^TOKEN_PREFIX must be/ },
  { when: 'the second header has a meaning of its own', env: { API_KEY_HEADER: 'cookie' }, fault: /^API_KEY_HEADER must be/ },
  { when: 'the second header has a meaning of its own, in another case', env: { API_KEY_HEADER: 'Cookie' }, fault: /^API_KEY_HEADER must be/ },
  { when: 'the second header is one that a proxy writes', env: { API_KEY_HEADER: 'X-Forwarded-For' }, fault: /^API_KEY_HEADER must be/ },
  { when: 'the second header is one that we answer with', env: { API_KEY_HEADER: 'x-auth-key-id' }, fault: /^API_KEY_HEADER must be/ },
  { when: 'a trusted proxy is no address', env: { TRUSTED_PROXIES: '10.0.0.1,hush-hush' }, fault: /^TRUSTED_PROXIES must be/ },
  { when: 'every address is a trusted proxy', env: { TRUSTED_PROXIES: '0.0.0.0/0' }, fault: /^TRUSTED_PROXIES must be/ },
  { when: 'a CIDR range is too narrow for its family', env: { TRUSTED_PROXIES: '10.0.0.0/33' }, fault: /^TRUSTED_PROXIES must be/ }
]
for (const { when, env, fault } of refused) {
  t.test(`does not start when ${when}, and names the setting but not the value`, async (t) => {
    const faults = faultsOf(env)
    t.equal(faults.length, 1)
    t.match(faults[0], fault)
    t.notMatch(faults[0], /hush|kkkkk/)
  })
}

t.test('all that is wrong is told at once', async (t) => {
  t.equal(faultsOf({ PORT: 'x', CACHE: 'x', LOG_LEVEL: 'x' }).length, 3)
})

t.test('each secret setting can come from a file', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'navis-config-'))
  t.teardown(() => { rmSync(dir, { recursive: true }) })
  const file = (name: string, text: string) => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  const files = {
    DATABASE_URL_FILE: file('database', `${database}\n`),
    REDIS_URL_FILE: file('redis', 'redis://localhost\r\n'),
    MANAGEMENT_TOKENS_FILE: file('management', `a=${secret}`),
    SERVICE_TOKENS_FILE: file('service', `b=${otherSecret}\n`)
  }
  t.match(readConfig(files), {
    databaseUrl: database,
    redisUrl: 'redis://localhost',
    managementTokens: [{ name: 'a', secret }],
    serviceTokens: [{ name: 'b', secret: otherSecret }]
  })
  t.match(faultsOf({ ...files, DATABASE_URL: database }), [/^DATABASE_URL and DATABASE_URL_FILE are both set/])
  t.match(faultsOf({ REDIS_URL_FILE: join(dir, 'missing') }), [/^REDIS_URL_FILE names a file that cannot be read \(ENOENT\)/])
  t.match(faultsOf({ REDIS_URL_FILE: file('empty', '\n') }), [/^REDIS_URL_FILE names an empty file/])
})

t.test('docs/settings.md is what the schemas print', async (t) => {
  t.equal(readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8'), settingsPage())
})

t.test('the settings of the database stand instead of the URL, or over its parts, and files by their names', async (t) => {
  const management = { MANAGEMENT_TOKENS: `ops=${'k'.repeat(32)}` }
  const folder = t.testdir({ user: 'ada\n', password: 'p@ss/word\n' })
  const alone = readConfig({ ...management, DATABASE_HOST: 'db', DATABASE_NAME: 'keys', DATABASE_USER_FILE: `${folder}/user`, DATABASE_PASSWORD_FILE: `${folder}/password` })
  t.match(addressOf(alone.databaseUrl ?? ''), { hosts: [{ host: 'db', port: 5432 }], database: 'keys', user: 'ada', password: 'p@ss/word' })
  t.notMatch(alone.databaseUrl, /ada|p@ss/, 'what is in a file is not in the URL')
  const over = readConfig({ ...management, DATABASE_URL: 'postgres://u:old@h:1/d?connect_timeout=3', DATABASE_PORT: '2', DATABASE_PASSWORD: 'new&?=', DATABASE_CA_FILE: '/ca.pem' })
  t.match(addressOf(over.databaseUrl ?? ''), { hosts: [{ host: 'h', port: 2 }], user: 'u', password: 'new&?=', database: 'd', connectTimeoutSeconds: 3, sslMode: 'verify-full', caFile: '/ca.pem' })
  t.throws(() => readConfig({ DATABASE_NAME: 'keys' }), /DATABASE_HOST or DATABASE_URL is needed/)
  t.throws(() => readConfig({ ...management, DATABASE_URL: 'postgres://h/d?channel_binding=require' }), /DATABASE_URL cannot be used: its parameter channel_binding must be/)
  for (const name of ['Keys"', '1keys', 'public', 'pg_keys', 'information_schema', 'x'.repeat(64)]) t.throws(() => readConfig({ ...management, DATABASE_HOST: 'h', DATABASE_SCHEMA: name }), /DATABASE_SCHEMA must be at most 63 lower-case/, name)
  for (const name of ['navis_keys', 'publications', '_public']) t.equal(readConfig({ ...management, DATABASE_HOST: 'h', DATABASE_SCHEMA: name }).databaseSchema, name)
})

t.test('a URL in a file is read again for each connection, and settings of its parts count more than what it has by then', (t) => {
  const folder = t.testdir({ url: 'postgres://ada:old@before:1/keys?sslmode=require\n' })
  const { databaseUrl = '' } = readConfig({ MANAGEMENT_TOKENS: `ops=${'k'.repeat(32)}`, DATABASE_URL_FILE: `${folder}/url`, DATABASE_NAME: 'mine', DATABASE_CA_FILE: '/ca.pem' })
  t.match(addressOf(databaseUrl), { hosts: [{ host: 'before', port: 1 }], user: 'ada', password: 'old', database: 'mine', sslMode: 'verify-ca', caFile: '/ca.pem' })
  writeFileSync(`${folder}/url`, 'postgres://eve:new@after:2/keys')
  t.match(addressOf(databaseUrl), { hosts: [{ host: 'after', port: 2 }], user: 'eve', password: 'new', database: 'mine', sslMode: 'verify-full', caFile: '/ca.pem' })
  const verified = readConfig({ MANAGEMENT_TOKENS: `ops=${'k'.repeat(32)}`, DATABASE_URL_FILE: `${folder}/url`, DATABASE_CA_FILE: '/ca.pem', DATABASE_HOST: 'named' })
  t.match(addressOf(verified.databaseUrl ?? ''), { hosts: [{ host: 'named', port: 5432 }], user: 'eve', sslMode: 'verify-full', caFile: '/ca.pem' })
  t.end()
})

t.test('webhooks are read from lists with commas or line breaks, and what is wrong with an entry is said by its place, never with its value', async (t) => {
  const good = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
  const other = `whsec_${Buffer.alloc(24, 9).toString('base64')}`
  t.same(readConfig({ WEBHOOK_URLS: 'https://a.example/x?y=1,\n http://localhost:3000/b\n', WEBHOOK_SECRETS: `${good}\r\n${other}`, WEBHOOK_ALLOWED_CIDRS: '10.0.0.0/8,::1' }).webhooks, {
    urls: ['https://a.example/x?y=1', 'http://localhost:3000/b'], secrets: [good, other], allowedCidrs: ['10.0.0.0/8', '::1/128']
  })
  for (const [environment, says] of [
    [{ WEBHOOK_URLS: 'https://a.example/' }, [/^WEBHOOK_SECRETS is needed/]],
    [{ WEBHOOK_SECRETS: good }, [/^WEBHOOK_URLS is needed/]],
    [{ WEBHOOK_URLS: 'https://a.example/,http://b.example/hush-hush', WEBHOOK_SECRETS: good }, [/^WEBHOOK_URLS: entry 2 must be https:, or http: on this machine/]],
    [{ WEBHOOK_URLS: 'https://10.1.2.3/hush-hush', WEBHOOK_SECRETS: good }, [/^WEBHOOK_URLS: entry 1 is a private address.*WEBHOOK_ALLOWED_CIDRS/]],
    [{ WEBHOOK_URLS: 'https://10.1.2.3/hush-hush', WEBHOOK_SECRETS: good, WEBHOOK_ALLOWED_CIDRS: '10.1.2.3/8' }, [/^WEBHOOK_ALLOWED_CIDRS: entry 1: Has bits set.*10\.0\.0\.0\/8/, /private address/]],
    [{ WEBHOOK_URLS: 'https://a.example,https://a.example/', WEBHOOK_SECRETS: good }, [/^WEBHOOK_URLS: entry 2 occurs twice/]],
    [{ WEBHOOK_URLS: 'https://a.example/', WEBHOOK_SECRETS: `${good},whsec_aHVzaC1odXNo,hush-hush` }, [/^WEBHOOK_SECRETS: entry 2 must be whsec_/, /^WEBHOOK_SECRETS: entry 3/]]
  ] as const) {
    const faults = faultsOf(environment)
    t.equal(faults.length, says.length)
    for (const [i, expected] of says.entries()) t.match(faults[i], expected)
    t.notMatch(faults.join(), /hush-hush/)
  }
})

t.test('named secrets stand one a line too', async (t) => {
  t.same(readConfig({ SERVICE_TOKENS: `a=${secret}\nb=${otherSecret}\n` }).serviceTokens, [{ name: 'a', secret }, { name: 'b', secret: otherSecret }])
})
