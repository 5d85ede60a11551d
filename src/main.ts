#!/usr/bin/env node
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import type { FastifyInstance } from 'fastify'
import type { DestinationStream } from 'pino'
import { buildApp, buildOperationsApp } from './app.ts'
import { ConfigError, readConfig, type Config } from './config/config.ts'
import { keysOptionsOf } from './engine/keys-options-of.ts'
import { version } from './config/version.ts'
import { silentLogger, type Logger } from './core/logger.ts'
import { bootDatabase } from './db/boot.ts'
import { DataFolderInUse, UnfitDataFolder } from './db/embedded/data-folder.ts'
import { startEmbedded } from './db/embedded/embedded.ts'
import { migrateEmbedded } from './db/embedded/migrate-embedded.ts'
import { assertMigrated, migrate } from './db/migrate.ts'
import { UnfitDatabase } from './db/unfit-database.ts'
import { greeting } from './config/greeting.ts'
import { managementTokenPath, openManagementToken } from './config/management-token.ts'
import { createKeys } from './engine/open-keys.ts'
import { createLogger, openLogDestination } from './http/logging.ts'
import { Scrubber } from './http/scrubber.ts'
import { refusedAfterMs } from './http/stop-times.ts'

// Time for load balancers, which look about once a second, to see that this replica is no longer ready.
const unreadyMs = 2000
const lastWordsMs = 300
const shutdownMs = 9500

const unwritable = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENOENT', 'ENOTDIR', 'EISDIR'])

const stopping = new AbortController()
/** What has to be closed before the process ends, in reverse order. */
const closers: Array<() => Promise<void>> = []
let app: FastifyInstance | undefined
let log: Logger = silentLogger

closeWithGrace({ delay: shutdownMs, logger: false, onTimeout: () => { process.exit(1) } }, async ({ err, signal }) => {
  const toldAt = performance.now()
  if (err !== undefined) complain(err)
  log.info({ signal }, 'Navis Keys is stopping: it is no longer ready, and every answer closes its connection')
  stopping.abort(new Error('The service is stopping.'))
  // Ctrl-C: there is no load balancer in front of a terminal.
  if (signal === 'SIGTERM') await sayUnready()
  await started
  await endAll()
  log.info({ ms: Math.round(performance.now() - toldAt) }, 'Navis Keys has stopped')
})

const started = run()

async function run (): Promise<void> {
  try {
    await start(readConfig(process.env))
  } catch (error) {
    if (stopping.signal.aborted) return
    complain(error)
    await endAll()
    process.exit(1)
  }
}

/** Listens first: until the database has answered, probes report that and everything else gets a 503. */
async function start (settings: Config): Promise<void> {
  const logDestination = await openLogDestination(settings.logFormat)
  const config = settings.databaseUrl === undefined ? await startOwnDatabase(settings) : settings
  stopping.signal.throwIfAborted()
  log = loggerOf(config, logDestination)
  log.info(description(settings), `Navis Keys ${version} is starting`)
  const telemetry = config.isTraced ? (await import('./http/open-telemetry.ts')).openTelemetry(version) : undefined
  if (telemetry !== undefined) closers.push(() => telemetry.close())
  const keys = createKeys({ ...keysOptionsOf(config), log, tracing: telemetry?.tracing })
  closers.push(() => keys.close())
  app = await buildApp({ config, keys, telemetry, logDestination })
  if (config.metricsPort !== undefined) {
    const operations = await buildOperationsApp({ app, config })
    closers.push(() => operations.close())
    await operations.listen({ host: config.host, port: config.metricsPort })
  }
  closers.push(closeApp)
  await app.listen({ host: config.host, port: config.port })
  const url = config.databaseUrl ?? ''
  await bootDatabase({
    migrate: () => settings.databaseUrl === undefined ? migrateEmbedded(url, config.databaseSchema) : (config.migrates ? migrate : assertMigrated)(url, { schema: config.databaseSchema }),
    open: () => keys.start(),
    log,
    signal: stopping.signal
  })
  log.info({}, 'Navis Keys is ready')
  if (settings.databaseUrl === undefined) greet(settings, app.server.address() as AddressInfo)
}

/** Version, mode and the hosts that it is connected to; no credential. */
function description ({ databaseUrl, redisUrl, gateway, trustWindowMs }: Config): object {
  return {
    version,
    node: process.version,
    database: databaseUrl === undefined ? 'embedded' : hostOf(databaseUrl),
    redis: redisUrl === undefined ? 'none' : hostOf(redisUrl),
    gateway: gateway?.upstreams.map(({ name }) => name) ?? 'off',
    trustWindowMs
  }
}

// Without credentials: they are before the last @ of the authority part.
function hostOf (url: string): string {
  const [, scheme = '', authority = ''] = /^([a-z+]+):\/\/([^/?#]*)/.exec(url) ?? []
  const hosts = authority.slice(authority.lastIndexOf('@') + 1)
  return /sentinel|cluster/.test(scheme) ? `${scheme.replace(/^rediss?\+/, '')} ${hosts}` : hosts
}

/** The embedded database, and a management token for it when the settings name none. */
async function startOwnDatabase (config: Config): Promise<Config> {
  const { url, stop } = await startEmbedded({ dataDir: config.dataDir })
  closers.push(stop)
  const managementTokens = config.managementTokens.length > 0
    ? config.managementTokens
    : [{ name: 'admin', secret: openManagementToken(config.dataDir) }]
  if (managementTokens.some(({ secret }) => config.serviceTokens.some((service) => service.secret === secret))) {
    throw new ConfigError([`SERVICE_TOKENS contains the management token that is in ${managementTokenPath(config.dataDir)}. Give the service another secret, made by \`openssl rand -hex 32\`.`])
  }
  return { ...config, databaseUrl: url, managementTokens }
}

async function sayUnready (): Promise<void> {
  if (app === undefined) return
  app.drain()
  await sleep(unreadyMs)
}

async function closeApp (): Promise<void> {
  const lastWords = setTimeout(() => { app?.refuseUnanswered() }, refusedAfterMs)
  const cutOff = setTimeout(() => { app?.server.closeAllConnections() }, refusedAfterMs + lastWordsMs)
  await app?.close()
  clearTimeout(lastWords)
  clearTimeout(cutOff)
}

async function endAll (): Promise<void> {
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) await close()
}

function greet ({ dataDir, managementTokens }: Config, address: AddressInfo): void {
  const tokenPath = managementTokens.length > 0 ? undefined : managementTokenPath(dataDir)
  process.stderr.write(greeting({ address, dataDir, tokenPath }))
}

// For messages before the app exists, which has its own logger.
function loggerOf ({ logLevel, tokenPrefix, tokenPrefixesAccepted, databaseUrl, redisUrl }: Config, destination: DestinationStream): Logger {
  return createLogger({ level: logLevel, destination, scrubber: new Scrubber({ tokenPrefix, tokenPrefixesAccepted, secrets: [], urls: [databaseUrl, redisUrl] }) })
}

/** Describes a failure that the operator can mend in a sentence; never with the parameters of a query. */
function complain (error: unknown): void {
  process.stderr.write(`navis-keys: ${sentenceOf(error)}\n`)
}

function sentenceOf (error: unknown): string {
  if ([ConfigError, UnfitDatabase, DataFolderInUse, UnfitDataFolder].some((told) => error instanceof told)) return (error as Error).message
  // Its class is loaded with the gateway only.
  if (error instanceof Error && error.name === 'PolicyRefused') return error.message
  const { code = '', port, path, syscall, cause } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE') return `Port ${port} is in use by another process. Stop that process, or set PORT to another port.`
  if (code === 'EACCES' && port !== undefined) return `This user may not listen on port ${port}. Set PORT to a port above 1023.`
  if (code === 'EADDRNOTAVAIL' || syscall === 'getaddrinfo') return `HOST is not an address of this machine (${code}). Set HOST to one of its addresses, or to 0.0.0.0 for all of them.`
  if (unwritable.has(code) && path !== undefined) return `${path} cannot be written (${code}). Check DATA_DIR, its rights and its disk.`
  // The message of the driver has no parameters; that of Drizzle, around it, has.
  const refusal = [error, cause].find((thrown) => thrown instanceof Error && thrown.name === 'PostgresError') as NodeJS.ErrnoException | undefined
  if (refusal !== undefined) return `Postgres refused a statement of the start: ${refusal.message} (SQLSTATE ${refusal.code}).`
  if (error instanceof Error && 'query' in error) return `A statement of the start failed: ${cause instanceof Error ? cause.message : 'no cause is known'}.`
  return error instanceof Error ? error.stack ?? error.message : String(error)
}
