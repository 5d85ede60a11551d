import type { Redis } from 'ioredis'
import type { Clock } from '../core/clock.ts'
import type { ChangeTarget, MemoryLookup } from '../core/lookup.ts'
import type { Seal, TrustWindow } from '../core/window/trust-window.ts'
import { isNotPrimary } from '../db/window-store.ts'
import { CoalescingTier } from '../tiers/coalescing.ts'
import { LineageKey } from '../tiers/lineage-key.ts'
import { MemoryTier } from '../tiers/memory.ts'
import { PostgresTier, type ReadKeys } from '../tiers/postgres.ts'
import type { RowSeal } from '../tiers/redis-row.ts'
import { RedisTier } from '../tiers/redis.ts'
import { Uncached } from '../tiers/uncached.ts'
import { tracedLookup, type Tracing } from '../core/tracing.ts'

/** Counters of each tier since the start, and its size; `undefined` for a tier that does not exist. */
export interface TiersStats {
  readonly memory: ReturnType<MemoryTier['stats']> | undefined
  readonly coalescing: ReturnType<CoalescingTier['stats']> | undefined
  readonly redis: ReturnType<RedisTier['stats']> | undefined
  readonly postgres: ReturnType<PostgresTier['stats']>
}

interface TiersOptions {
  readonly lookups: { readonly queries: ReadKeys, replace (): void }
  readonly redis: Redis | undefined
  readonly window: TrustWindow
  readonly clock: Clock
  readonly cache: boolean
  readonly entriesMax: number
  /** Called when a server that is not the primary has answered. */
  readonly onNotPrimary: () => void
  readonly tracing: Tracing | undefined
}

interface Tiers {
  readonly lookup: MemoryLookup
  /** Drops the entries that a change concerns; later lookups do not join its running reads. */
  drop (target: ChangeTarget): void
  stats (): TiersStats
}

export function openTiers ({ lookups, redis, window, clock, cache, entriesMax, onNotPrimary, tracing }: TiersOptions): Tiers {
  const postgres = new PostgresTier({
    read: (digests) => lookups.queries(digests),
    position: () => window.position,
    onElsewhere: () => window.renewed(),
    onStuck: (error) => {
      lookups.replace()
      if (isNotPrimary(error)) onNotPrimary()
    }
  })
  const primary = tracedLookup(postgres, 'postgresql', tracing)
  if (!cache) {
    return {
      lookup: new Uncached({ under: primary }),
      drop () {},
      stats: () => ({ memory: undefined, coalescing: undefined, redis: undefined, postgres: postgres.stats() })
    }
  }
  const shared = redis && new RedisTier({ under: primary, redis, clock, seal: () => sealOf(window), applied: () => window.position.applied })
  const coalescing = new CoalescingTier({ under: shared === undefined ? primary : tracedLookup(shared, 'redis', tracing) })
  const memory = new MemoryTier({ under: coalescing, entriesMax })
  return {
    lookup: memory,
    drop (target) {
      memory.drop(target)
      if (target.kind === 'everything') coalescing.clear()
    },
    stats: () => ({ memory: memory.stats(), coalescing: coalescing.stats(), redis: shared?.stats(), postgres: postgres.stats() })
  }
}

let known: { readonly of: Seal, readonly seal: RowSeal } | undefined

/** The lineage that signs and names rows in Redis; `undefined` while this replica must not use Redis rows. */
function sealOf ({ seal: of }: TrustWindow): RowSeal | undefined {
  if (of === undefined) return undefined
  if (known?.of !== of) known = { of, seal: { key: keyOf(of), label: of.label } }
  return known.seal
}

let key: { readonly rowSecret: Uint8Array, readonly lineage: string, readonly is: LineageKey } | undefined

function keyOf ({ rowSecret, lineage }: Pick<Seal, 'rowSecret' | 'lineage'>): LineageKey {
  if (key?.rowSecret !== rowSecret || key.lineage !== lineage) key = { rowSecret, lineage, is: new LineageKey(rowSecret, lineage) }
  return key.is
}

/** What the names of the shared buckets in Redis begin with; `undefined` until the database has been reached. */
export function prefixOf ({ name }: TrustWindow): string | undefined {
  return name && keyOf(name).prefix
}
