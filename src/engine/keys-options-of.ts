import type { Config } from '../config/config.ts'
import type { KeysOptions } from './keys-options.ts'

// Only a host application passes these; there is no setting for them.
type HandedIn = 'db' | 'redis' | 'log' | 'clock' | 'tracing'

/** Every engine option that has a setting. Renaming an option, or adding one without a setting, does not compile. */
export type ConfiguredKeysOptions = { readonly [Name in Exclude<keyof KeysOptions, HandedIn>]-?: KeysOptions[Name] | undefined }

export function keysOptionsOf (config: Config): ConfiguredKeysOptions {
  return {
    databaseUrl: config.databaseUrl,
    databaseSchema: config.databaseSchema,
    databaseConnectionsMax: config.databaseConnectionsMax,
    migrate: config.migrates,
    requireSynchronous: config.requireSynchronous,
    redisUrl: config.redisUrl,
    redisCaFile: config.redisCaFile,
    trustWindowMs: config.trustWindowMs,
    lastUsedFlushMs: config.lastUsedFlushMs,
    usageAddresses: config.usageAddresses,
    tokenPrefix: config.tokenPrefix,
    tokenPrefixesAccepted: config.tokenPrefixesAccepted,
    policy: config.policy,
    retention: config.retention,
    cache: config.cache,
    acks: config.acks,
    memoryEntriesMax: config.memoryEntriesMax,
    unknownTokensPerMinute: config.unknownTokensPerMinute
  }
}
