import type { ChangeTarget } from '../../src/core/lookup.ts'
import type { Digest, KeyRecord } from '../../src/core/key-record.ts'
import type { RenewalAnswer, RenewEffect } from '../../src/core/window/step.ts'
import type { Heard } from '../../src/core/window/store.ts'
import type { LoggedChange } from '../../src/core/window/trust.ts'
import type { Roll } from '../../src/core/window/waits.ts'

/** What the statements, and those who send them, may do wrongly: each is the form of a guard that is no line of the pure protocol. */
export interface Mistakes {
  readonly acksWhatItReads?: boolean
  readonly sharesId?: boolean
  readonly joinsWithOldNews?: boolean
  readonly checksInTwoTurns?: boolean
  readonly waitsFromRequest?: boolean
  readonly repeatsReturnAtOnce?: boolean
  readonly countsOutBlindly?: boolean
  readonly believesSwappedAnswers?: boolean
  readonly ignoresBeats?: boolean
  readonly keepsUnprovenPositions?: boolean
  readonly foundsTheSameLineage?: boolean
  readonly joinsWithLineage?: boolean
  readonly admitsUnproven?: boolean
  readonly admitsLate?: boolean
  readonly putsBackAnywhere?: boolean
  readonly drawsPositionsEarly?: boolean
  readonly renewalsOnlyRead?: boolean
  readonly repeatsOnlyRead?: boolean
}

/** What the database held of a key from `seq` on. */
export interface KeyVersion {
  readonly seq: number
  readonly version: number
  readonly record: KeyRecord
}

/**
 * What is asked for: a revocation, an expiry (null: never), or something else that narrows. Of a workspace also: a policy, which lets no key of it live beyond
 * `expiresAt` and lengthens none, or the revocation of all keys of an owner; in the log both are changes of the workspace.
 */
export type Asked =
  | { readonly action: 'revoke' }
  | { readonly action: 'change', readonly expiresAt?: number | null, readonly onlyShortens?: true }
  | { readonly action: 'change', readonly ownerId: string, readonly expiresAt?: undefined }

export interface Commit {
  readonly seq: number
  readonly windowMs: number
  readonly change: LoggedChange
  readonly asked: Asked
  /** Whether the change found everything as it was asked for. */
  readonly wasDone: boolean
  /** The expiry that was there before. */
  readonly found: number | null
  readonly isReadOnly?: boolean
}

// Replaced and never changed: copies of the database share it.
interface Row {
  readonly acked: number
  readonly beat: string
  readonly lineage: string | undefined
  readonly windowMs: number
  readonly isDead: boolean
}

export const digests = Array.from({ length: 8 }, (_, i) => String(i).padStart(32, 'k') as Digest)

const firstVersions: ReadonlyArray<readonly KeyVersion[]> = digests.map((digest, i) => [{ seq: 0, version: 0, record: recordOf(digest, i) }])
let contents = 0

/** The primary: each method is one transaction, carried out at one moment. */
export class ModelPostgres {
  members = new Map<string, Row>()
  versions = firstVersions
  /** Another number as soon as anything is different about the keys. */
  content = ++contents
  seq = 0
  lineage = 'L0'
  former: string | undefined
  timeline = 'A'
  serverStart = '1'
  log: LoggedChange[] = []
  windowMs = 0
  readonly mistakes: Mistakes

  constructor (mistakes: Mistakes) {
    this.mistakes = mistakes
  }

  /** The same content, of a moment: for a dump, a standby, a clone. */
  copy (): ModelPostgres {
    const copy = new ModelPostgres(this.mistakes)
    copy.become(this)
    return copy
  }

  /** Takes over the content of another one: a restore, a failover. Timeline and server stay what they are. */
  become ({ members, versions, seq, lineage, former, log, windowMs }: ModelPostgres): void {
    this.members = new Map(members)
    this.content = ++contents
    Object.assign(this, { versions, seq, lineage, former, log, windowMs })
  }

  join ({ id, formerId, windowMs }: { id: string, formerId: string | undefined, windowMs: number }): void {
    const former = formerId === undefined ? undefined : this.members.get(formerId)
    if (formerId !== undefined && former !== undefined) this.members.set(formerId, { ...former, isDead: true })
    const shares = this.mistakes.sharesId === true
    if (!this.members.has(id) || shares) this.members.set(id, { acked: 0, beat: id, lineage: this.mistakes.joinsWithLineage === true ? this.lineage : undefined, windowMs, isDead: false })
    this.#settleWindow()
  }

  renew ({ id, beat, beats, applied, givesUpLineage, rowsMax }: RenewEffect, databaseTime: number): RenewalAnswer {
    const row = this.members.get(id)
    const isOurs = row !== undefined && this.#isOwn(row, beats)
    const isAlive = isOurs && !row.isDead
    const acked = Math.min(this.mistakes.acksWhatItReads === true ? this.seq : applied, this.seq)
    const lineage = isAlive && !givesUpLineage ? row.lineage : undefined
    if (isAlive) this.members.set(id, { ...row, beat, acked: Math.max(row.acked, acked), lineage })
    return {
      row: isAlive ? 'alive' : isOurs ? 'dead' : 'missing',
      lineage,
      ...this.readLog(applied, rowsMax),
      databaseTime,
      windowMs: this.windowMs
    }
  }

  readLog (applied: number, rowsMax: number): Pick<RenewalAnswer, 'history' | 'seq' | 'rows'> {
    const { lineage, former, timeline, serverStart } = this
    return { history: { lineage, former, timeline, serverStart }, seq: this.seq, rows: this.log.filter((row) => row.seq > applied).slice(-rowsMax) }
  }

  change (target: ChangeTarget, asked: Asked, allotted?: number): Commit {
    const seq = allotted ?? this.seq + 1
    this.seq = Math.max(this.seq, seq)
    const change: LoggedChange = { seq, target, action: asked.action }
    this.log = [...this.log, change].sort((one, other) => one.seq - other.seq)
    let wasDone = true
    let found: number | null = null
    this.content = ++contents
    this.versions = this.versions.map((versions) => {
      const newest = versions.at(-1) as KeyVersion
      if (!concerns(target, newest.record) || !isAskedOf(asked, newest.record)) return versions
      found = newest.record.expiresAt
      const record = changed(newest.record, asked, seq)
      if (record.revokedAt !== newest.record.revokedAt || record.expiresAt !== newest.record.expiresAt || asked.action === 'change') wasDone = false
      return [...versions, { seq, version: newest.version + 1, record }]
    })
    return { seq, windowMs: this.windowMs, change, asked, wasDone, found }
  }

  /** The revocation that there is of a key already, if there is one, without a write. */
  revoked (target: ChangeTarget): Commit | undefined {
    const change = this.log.findLast((row) => row.action === 'revoke' && target.kind === 'key' && row.target.kind === 'key' && row.target.digests[0] === target.digests[0])
    return change === undefined ? undefined : { seq: change.seq, windowMs: this.windowMs, change, asked: { action: 'revoke' }, wasDone: true, found: null, isReadOnly: true }
  }

  roll (): Omit<Roll, 'sentAt' | 'answeredAt'> {
    const members = [...this.members].filter(([, row]) => !row.isDead).map(([id, { acked, beat, lineage, windowMs }]) => ({ id, acked, beat, lineage, windowMs }))
    return { seq: this.seq, lineage: this.lineage, members }
  }

  admit ({ id, beats }: { id: string, beats: readonly string[] }, until: number, databaseTime: number): void {
    if (databaseTime >= until && this.mistakes.admitsLate !== true) return
    const row = this.members.get(id)
    const isProven = row !== undefined && !row.isDead && this.#isOwn(row, beats) && row.lineage === this.lineage
    const seesOne = [...this.members.values()].some((other) => !other.isDead && other.lineage === this.lineage)
    if (!isProven && !(this.mistakes.admitsUnproven === true && seesOne)) return
    for (const [id, other] of this.members) if (!other.isDead) this.members.set(id, { ...other, lineage: other.lineage ?? this.lineage })
  }

  found ({ id, beats }: { id: string, beats: readonly string[] }, lineage: string): boolean {
    const row = this.members.get(id)
    if (row === undefined || row.isDead || !this.#isOwn(row, beats) || row.lineage !== undefined) return false
    if ([...this.members.values()].some((other) => !other.isDead && other.lineage === this.lineage)) return false
    this.former = this.lineage
    if (this.mistakes.foundsTheSameLineage !== true) this.lineage = lineage
    this.members.set(id, { ...row, lineage: this.lineage })
    return true
  }

  countOut (id: string, beat: string): void {
    const row = this.members.get(id)
    if (row !== undefined && (row.beat === beat || this.mistakes.countsOutBlindly === true)) this.members.set(id, { ...row, isDead: true })
  }

  /** Revokes what is not revoked of these; `undefined`: not in this lineage, or by nobody that it knows. */
  putBack ({ id, beats }: { id: string, beats: readonly string[] }, { lineage, heardBy, digests: wanted }: Heard): Commit[] | undefined {
    const row = this.members.get(id)
    if (row === undefined || row.isDead || !this.#isOwn(row, beats)) return undefined
    if (lineage !== this.lineage && lineage !== this.former && this.mistakes.putsBackAnywhere !== true) return undefined
    if (heardBy !== undefined && !this.members.has(heardBy) && this.mistakes.putsBackAnywhere !== true) return []
    const missing = this.versions.map((versions) => (versions.at(-1) as KeyVersion).record).filter(({ digest, revokedAt }) => wanted.includes(digest) && revokedAt === null)
    return missing.map(({ digest }) => this.change({ kind: 'key', digests: [digest] }, { action: 'revoke' }))
  }

  leave (id: string): void {
    this.members.delete(id)
    this.#settleWindow()
  }

  prune (keepRows: number): void {
    this.log = this.log.filter((row) => row.seq > this.seq - keepRows)
  }

  #isOwn (row: Row, beats: readonly string[]): boolean {
    return this.mistakes.ignoresBeats === true || this.mistakes.sharesId === true || beats.includes(row.beat)
  }

  #settleWindow (): void {
    this.windowMs = Math.max(0, ...[...this.members.values()].filter((row) => !row.isDead).map((row) => row.windowMs))
  }
}

export function concerns (target: ChangeTarget, record: KeyRecord): boolean {
  if (target.kind === 'key') return target.digests.includes(record.digest)
  return target.kind === 'everything' || record.workspaceId === target.workspaceId
}

/** Whether the key becomes another one. */
function isAskedOf (asked: Asked, { ownerId, expiresAt }: KeyRecord): boolean {
  if ('ownerId' in asked) return asked.ownerId === ownerId
  return !('onlyShortens' in asked) || expiresAt === null || asked.expiresAt! < expiresAt
}

function changed (record: KeyRecord, asked: Asked, seq: number): KeyRecord {
  if (asked.action === 'revoke' || 'ownerId' in asked) return { ...record, revokedAt: record.revokedAt ?? seq }
  return asked.expiresAt === undefined ? record : { ...record, expiresAt: asked.expiresAt }
}

function recordOf (digest: Digest, i: number): KeyRecord {
  return {
    id: `key ${i}`, digest, workspaceId: `workspace ${i % 3}`, ownerId: `owner ${i % 2}`, name: 'a key', scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null
  }
}
