import { accessSync, constants, readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { Value } from 'typebox/value'
import { readPagesConfig, type PagesConfig } from './pages-config.ts'
import { readDatabaseUrl } from './database-url.ts'
import { keyHeader, notesOf, settingNames, settings, type SettingName, type Settings } from './settings.ts'
import { readGatewayConfig, type GatewaySettings } from './gateway-config.ts'
import type { Policy } from '../core/policy.ts'
import { isTrustworthy } from '../core/public-origin.ts'
import type { Retention } from '../core/upkeep.ts'
import { parseRedisUrl, RedisUrlError } from '../core/redis-url.ts'
import { acceptedPrefix } from '../core/accepted-prefixes.ts'
import { partsOf } from './parts-of.ts'
import { parseNamedSecrets, type NamedSecret } from './named-secrets.ts'
import { readWebhooksConfig, type WebhooksConfig } from './webhooks-config.ts'

export type { NamedSecret }
export type LogLevel = Settings['LOG_LEVEL']

/** The validated settings of the service, with their defaults. */
export interface Config {
  readonly host: string
  readonly port: number
  /** Unset: livez, readyz and metrics are on `port`. */
  readonly metricsPort: number | undefined
  /** Unset: the embedded Postgres in `dataDir`. */
  readonly databaseUrl: string | undefined
  readonly databaseSchema: string
  readonly databaseConnectionsMax: number
  /** Whether the service brings the database to the newest schema. */
  readonly migrates: boolean
  /** Whether changes are refused while the database has a standby that a commit does not wait for. */
  readonly requireSynchronous: boolean
  readonly redisUrl: string | undefined
  readonly redisCaFile: string | undefined
  readonly dataDir: string
  readonly managementTokens: readonly NamedSecret[]
  readonly serviceTokens: readonly NamedSecret[]
  readonly trustWindowMs: number
  readonly lastUsedFlushMs: number
  readonly usageAddresses: 'full' | 'prefix' | 'off'
  readonly logLevel: LogLevel
  readonly logFormat: Settings['LOG_FORMAT']
  /** Whether the standard variables ask for traces. */
  readonly isTraced: boolean
  /** Addresses and CIDR ranges, for Fastify's `trustProxy`. Empty: none. */
  readonly trustedProxies: readonly string[]
  readonly unknownTokensPerMinute: number
  readonly memoryEntriesMax: number
  readonly tokenPrefix: string
  /** Other prefixes of accepted tokens. */
  readonly tokenPrefixesAccepted: readonly string[]
  /** The policy for keys of all workspaces. */
  readonly policy: Policy
  /** How long history is kept. */
  readonly retention: Retention
  /** Where GitHub's public keys are: a path or a URL. */
  readonly leaksGithubKeys: string
  /** Absent: no events are sent. */
  readonly webhooks?: WebhooksConfig
  /** Empty: none. */
  readonly apiKeyHeader: string
  readonly cache: boolean
  readonly acks: 'all' | 'postgres' | 'off'
  /** The settings page. */
  readonly pages: PagesConfig
  /** Absent: no MCP server is behind this service. */
  readonly gateway?: GatewaySettings
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Invalid settings: the service does not start. Names each setting and what to do; never shows a value. */
export class ConfigError extends Error {
  readonly faults: readonly string[]

  constructor (faults: readonly string[]) {
    super(faults.join('\n'))
    this.name = 'ConfigError'
    this.faults = faults
  }
}

/** Reads the settings from an environment such as `process.env`. Throws one `ConfigError` with all faults. */
export function readConfig (environment: Environment): Config {
  const values = checkedSettings(withFiles(environment))
  const faults: string[] = []
  const prefixes = [...new Set(partsOf(values.TOKEN_PREFIXES_ACCEPTED))]
  const secrets = (name: 'MANAGEMENT_TOKENS' | 'SERVICE_TOKENS') => {
    const parsed = parseNamedSecrets(values[name] ?? '', { tokenPrefixes: [values.TOKEN_PREFIX, ...prefixes] })
    faults.push(...parsed.faults.map((fault) => `${name}: ${fault}`))
    return parsed.secrets
  }
  const { pages, faults: pageFaults } = readPagesConfig(values)
  faults.push(...pageFaults)
  const { gateway, faults: gatewayFaults } = readGatewayConfig(values)
  faults.push(...gatewayFaults)
  const { webhooks, faults: webhookFaults } = readWebhooksConfig(values)
  faults.push(...webhookFaults)
  const databaseUrl = readDatabaseUrl(values, environment)
  faults.push(...databaseUrl.faults)
  const config: Config = {
    host: values.HOST,
    port: values.PORT,
    metricsPort: values.METRICS_PORT,
    databaseUrl: databaseUrl.url,
    databaseSchema: values.DATABASE_SCHEMA,
    databaseConnectionsMax: values.DATABASE_CONNECTIONS_MAX,
    migrates: values.MIGRATE === 'on',
    requireSynchronous: values.REQUIRE_SYNCHRONOUS === 'on',
    redisUrl: values.REDIS_URL,
    redisCaFile: values.REDIS_CA_FILE,
    dataDir: values.DATA_DIR,
    managementTokens: secrets('MANAGEMENT_TOKENS'),
    serviceTokens: secrets('SERVICE_TOKENS'),
    trustWindowMs: values.TRUST_WINDOW_MS,
    lastUsedFlushMs: values.LAST_USED_FLUSH_MS,
    usageAddresses: values.USAGE_ADDRESSES,
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
    isTraced: isTraced(values, environment),
    trustedProxies: partsOf(values.TRUSTED_PROXIES),
    unknownTokensPerMinute: values.UNKNOWN_TOKENS_PER_MINUTE,
    memoryEntriesMax: values.MEMORY_ENTRIES_MAX,
    tokenPrefix: values.TOKEN_PREFIX,
    tokenPrefixesAccepted: prefixes,
    policy: {
      maxLifetimeDays: values.KEY_MAX_LIFETIME_DAYS ?? null,
      defaultLifetimeDays: values.KEY_DEFAULT_LIFETIME_DAYS ?? null,
      unusedDays: values.KEY_UNUSED_DAYS ?? null
    },
    retention: {
      auditDays: values.AUDIT_RETENTION_DAYS ?? null,
      usageDays: values.USAGE_RETENTION_DAYS,
      callDays: values.CALL_RETENTION_DAYS,
      endedKeyDays: values.ENDED_KEY_RETENTION_DAYS ?? null
    },
    leaksGithubKeys: values.LEAKS_GITHUB_KEYS,
    apiKeyHeader: values.API_KEY_HEADER,
    cache: values.CACHE === 'on',
    acks: values.ACKS === 'on' ? 'all' as const : values.ACKS,
    pages,
    ...(webhooks === undefined ? {} : { webhooks }),
    ...(gateway === undefined ? {} : { gateway })
  }
  faults.push(...faultsBetween(config, values))
  if (config.isTraced) faults.push(...collectorFaults(environment))
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

/** Faults that concern several settings, and rules that JSON Schema cannot express. */
function faultsBetween (config: Config, values: Settings): string[] {
  const { databaseUrl, managementTokens, serviceTokens, trustedProxies } = config
  const faults: string[] = []
  faults.push(...redisFaults(config))
  if (config.metricsPort !== undefined && config.metricsPort !== 0 && config.metricsPort === config.port) faults.push('METRICS_PORT must not be the same port as PORT.')
  if (!config.tokenPrefixesAccepted.every((prefix) => acceptedPrefix.test(prefix))) faults.push(mustBe('TOKEN_PREFIXES_ACCEPTED'))
  // JSON Schema cannot ignore the case, and names of headers have none.
  if (!new RegExp(keyHeader).test(config.apiKeyHeader.toLowerCase())) faults.push(mustBe('API_KEY_HEADER'))
  if (!trustedProxies.every(isNarrowRange)) faults.push(mustBe('TRUSTED_PROXIES'))
  if (databaseUrl !== undefined && partsOf(values.MANAGEMENT_TOKENS).length === 0) {
    faults.push('MANAGEMENT_TOKENS is needed with a database of your own (DATABASE_URL, DATABASE_HOST): set it to name=secret, the secret made by `openssl rand -hex 32`.')
  }
  const { leaksGithubKeys } = config
  if (/^[a-z][a-z0-9+.-]*:/i.test(leaksGithubKeys) && !(URL.canParse(leaksGithubKeys) && isTrustworthy(leaksGithubKeys))) faults.push(mustBe('LEAKS_GITHUB_KEYS'))
  const { maxLifetimeDays, defaultLifetimeDays } = config.policy
  if (maxLifetimeDays !== null && defaultLifetimeDays !== null && defaultLifetimeDays > maxLifetimeDays) {
    faults.push('KEY_DEFAULT_LIFETIME_DAYS must not be longer than KEY_MAX_LIFETIME_DAYS.')
  }
  const all = [...managementTokens, ...serviceTokens]
  if (new Set(all.map(({ secret }) => secret)).size < all.length) {
    faults.push('MANAGEMENT_TOKENS and SERVICE_TOKENS: a secret occurs twice. Give each name a different secret.')
  }
  return faults
}

function redisFaults ({ redisUrl, redisCaFile }: Config): string[] {
  const faults: string[] = []
  try {
    const isTls = redisUrl !== undefined && parseRedisUrl(redisUrl).isTls
    if (redisCaFile !== undefined && !isTls) faults.push('REDIS_CA_FILE needs a REDIS_URL with TLS: use rediss…, or unset REDIS_CA_FILE.')
  } catch (error) {
    if (!(error instanceof RedisUrlError)) throw error
    faults.push(`REDIS_URL ${error.message}`)
  }
  try {
    if (redisCaFile !== undefined) accessSync(redisCaFile, constants.R_OK)
  } catch {
    faults.push(mustBe('REDIS_CA_FILE'))
  }
  return faults
}

/** Checks the settings with the validator that also checks requests: another schema library took an eighth of the start (docs/decisions/0253). */
function checkedSettings (environment: Environment): Settings {
  const values: Record<string, unknown> = {}
  for (const name of settingNames) {
    const value = valueOf(name, environment[name])
    if (value !== undefined) values[name] = value
  }
  const errors = Value.Errors(settings, values)
  if (errors.length === 0) return values as Settings
  const names = new Set(errors.map(({ instancePath }) => instancePath.slice(1) as SettingName))
  throw new ConfigError([...names].map(mustBe))
}

/** The text as its schema wants it: a whole number in digits is a number. */
function valueOf (name: SettingName, text: string | undefined): string | number | undefined {
  if (text === undefined) return notesOf(name).default
  const { type } = settings.properties[name] as { readonly type?: string }
  return type === 'integer' && /^\s*-?\d{1,15}\s*$/.test(text) ? Number(text) : text
}

/** Only the settings of this service. An empty one counts as unset; NAME_FILE is read into NAME. */
function withFiles (environment: Environment): Environment {
  const values: Record<string, string> = {}
  const faults: string[] = []
  for (const name of settingNames) {
    const value = environment[name] || (notesOf(name).mayBeEmpty === true ? environment[name] : undefined)
    const file = notesOf(name).secret === true ? environment[`${name}_FILE`] || undefined : undefined
    if (value !== undefined && file !== undefined) {
      faults.push(`${name} and ${name}_FILE are both set: unset one of them.`)
    } else if (file !== undefined) {
      try {
        values[name] = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
      } catch (error) {
        faults.push(`${name}_FILE names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'}): check its path and its rights.`)
      }
      if (values[name] === '') faults.push(`${name}_FILE names an empty file: put ${notesOf(name).advice} there.`)
    } else if (value !== undefined) {
      values[name] = value
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return values
}

function mustBe (name: SettingName): string {
  return `${name} must be ${notesOf(name).advice}.`
}

// With a range of all addresses, any client could choose the address that limits count.
function isNarrowRange (text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^[1-9][0-9]{0,2}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

// The conditions of the OpenTelemetry specification. The SDK reads the other variables itself.
function isTraced ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }: Settings, environment: Environment): boolean {
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || environment['OTEL_TRACES_EXPORTER'] === 'none') return false
  return [endpoint, environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']].some((url) => url !== undefined && url !== '')
}

/** The SDK itself starts with an endpoint that is none, and exports nothing. gRPC clients take `host:port` too. */
function collectorFaults (environment: Environment): string[] {
  return ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'].filter((name) => {
    const url = environment[name]?.trim()
    if (!url) return false
    const isGrpc = (environment['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL'] || environment['OTEL_EXPORTER_OTLP_PROTOCOL']) === 'grpc'
    return !(URL.canParse(url) && ['http:', 'https:'].includes(new URL(url).protocol)) && !(isGrpc && URL.canParse(`http://${url}`))
  }).map((name) => `${name} must be ${notesOf('OTEL_EXPORTER_OTLP_ENDPOINT').advice}.`)
}
