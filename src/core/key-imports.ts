import { v7 as uuidv7 } from 'uuid'
import { counted } from './counted.ts'
import { KeysError, type Fault } from './errors.ts'
import { invalid } from './key-errors.ts'
import type { Digest } from './key-record.ts'
import { faultsOf, isTime, rules } from './key-rules.ts'
import type { ImportFault, KeyStore } from './key-store.ts'
import type { Scope } from './scopes.ts'
import type { TokenFormat } from './token.ts'

interface KeyImportsOptions {
  readonly store: Pick<KeyStore, 'import'>
  readonly tokens: TokenFormat
  /** Told of the tokens that work from now on: someone may have presented them before. */
  readonly onImported: (digests: readonly Digest[]) => void
}

/** A key of another system. Only the digest of its token is known. */
export interface KeyToImport {
  readonly digest: Digest
  readonly name: string
  readonly scope: Scope
  readonly hint?: string | undefined
  readonly ownerId?: string | null | undefined
  /** Milliseconds since the epoch; null: never; left out: the policy's default. */
  readonly expiresAt?: number | null | undefined
  /** When the other system made it. */
  readonly createdAt?: number | undefined
  readonly metadata?: Readonly<Record<string, string>> | undefined
}

interface ImportKeys {
  readonly workspaceId: string
  readonly actor: string
  /** 1 to 1,000. */
  readonly keys: readonly KeyToImport[]
}

/** The hint of a token of which only the digest is known. */
const noHint = '…'
const faultsMax = 20

/** Imports keys of other systems. Their tokens keep working. */
export class KeyImports {
  readonly #options: KeyImportsOptions

  constructor (options: KeyImportsOptions) {
    this.#options = options
  }

  /** What is wrong with the descriptions of keys, as far as it can be told without the database. */
  faultsOf ({ workspaceId, keys }: Pick<ImportKeys, 'workspaceId' | 'keys'>): readonly Fault[] {
    return faultsOfImport(workspaceId, keys, this.#options.tokens)
  }

  /** Imports all or none. `alreadyThere`: keys whose token the workspace already has; these are not changed. */
  async import ({ workspaceId, actor, keys }: ImportKeys): Promise<{ imported: number, alreadyThere: number }> {
    const { store, onImported } = this.#options
    const faults = this.faultsOf({ workspaceId, keys })
    if (faults.length > 0) throw invalid(faults.slice(0, faultsMax))
    const answer = await store.import({
      workspaceId,
      actor,
      keys: keys.map(({ digest, name, scope, hint = noHint, ownerId = null, expiresAt, createdAt, metadata = {} }) =>
        ({ id: uuidv7(), digest, hint, ownerId, name, scope, metadata, expiresAt, createdAt }))
    })
    if (answer.outcome === 'imported') {
      onImported(keys.map(({ digest }) => digest))
      return { imported: answer.imported, alreadyThere: answer.alreadyThere }
    }
    throw refused(answer.faults, answer.maxLifetimeDays)
  }
}

function faultsOfImport (workspaceId: string, keys: readonly KeyToImport[], tokens: TokenFormat): readonly Fault[] {
  if (keys.length < 1 || keys.length > rules.importKeysMax) return [{ pointer: '/keys', detail: `Must be 1 to ${rules.importKeysMax} keys.` }]
  const hint = new RegExp(rules.hint.pattern, 'u')
  const seen = new Map<Digest, number>()
  return [...faultsOf({ workspaceId }, tokens), ...keys.flatMap((key, place) => {
    const { digest, name, scope, ownerId, expiresAt, metadata, createdAt } = key
    const faults = [...faultsOf({ name, scope, ownerId, expiresAt, metadata }, tokens)]
    if (key.hint !== undefined && !hint.test(key.hint)) faults.push({ pointer: '/hint', detail: `Must be ${rules.hint.says}.` })
    if (createdAt !== undefined && !isTime(createdAt)) faults.push({ pointer: '/created_at', detail: 'Must be a time from 1970 to now.' })
    const first = seen.get(digest)
    if (first === undefined) seen.set(digest, place)
    else faults.push({ pointer: '/token_sha256', detail: `Same token as /keys/${first}. Send each token once.` })
    return faults.map(({ pointer, detail }) => ({ pointer: `/keys/${place}${pointer}`, detail }))
  })]
}

function refused (found: ReadonlyArray<{ place: number, fault: ImportFault }>, maxDays: number | null): KeysError {
  const longest = counted(maxDays ?? 0, 'day')
  const sayings: Readonly<Record<ImportFault, { pointer: string, detail: string }>> = {
    taken: { pointer: 'token_sha256', detail: 'Another workspace already has this token, and a token belongs to one workspace. Remove it from the import, or revoke it in the other workspace and give its user a new key.' },
    created_in_future: { pointer: 'created_at', detail: 'Must not be in the future.' },
    expiry_past: { pointer: 'expires_at', detail: 'Must be in the future. Remove expired keys from the import.' },
    endless: { pointer: 'expires_at', detail: `Must be a time: the policy allows at most ${longest}. Omit it to get the lifetime that the policy sets.` },
    past_maximum: { pointer: 'expires_at', detail: `Must be at most ${longest} after created_at, or after now if created_at is omitted.` },
    too_old: { pointer: 'created_at', detail: `Must be less than ${longest} ago: the policy allows keys to live at most that long. Remove the key from the import, or change the policy.` }
  }
  const faults = found.map(({ place, fault }) => ({ pointer: `/keys/${place}/${sayings[fault].pointer}`, detail: sayings[fault].detail }))
  const others = found.flatMap(({ fault }, i) => fault === 'taken' ? [] : [faults[i]!])
  if (others.length > 0) return invalid(others.slice(0, faultsMax))
  return new KeysError('token_taken', { detail: 'Another workspace already has one of these tokens; see "errors". Nothing was imported.', faults: faults.slice(0, faultsMax) })
}
