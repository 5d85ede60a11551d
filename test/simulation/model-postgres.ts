import type { ChangeTarget } from '../../src/core/lookup.ts'
import type { Digest, KeyRecord } from '../../src/core/key-record.ts'
import type { Member } from '../../src/core/window/waits.ts'
import type { RenewalAnswer } from '../../src/core/window/state.ts'
import type { LoggedChange } from '../../src/core/window/trust.ts'

/** What the database held of a key from `seq` on. `version` counts the changes that took something away. */
export interface KeyVersion {
  readonly seq: number
  /** What a read just before it could have shown as its position. */
  readonly before: number
  readonly version: number
  readonly record: KeyRecord
}

export interface Commit {
  readonly seq: number
  readonly windowMs: number
  /** Whether a revoke found everything revoked already. */
  readonly wasDone: boolean
  readonly change: LoggedChange
  readonly isReadOnly?: boolean
}

interface Row {
  acked: number
  renewals: number
  windowMs: number
  isDead: boolean
}

export const digests = Array.from({ length: 8 }, (_, i) => String(i).padStart(32, 'k') as Digest)

/** The primary: each method is one transaction, carried out at one moment. */
export class ModelPostgres {
  readonly members = new Map<string, Row>()
  versions: KeyVersion[][]
  seq = 0
  timeline = 'A'
  log: LoggedChange[] = []
  windowMs = 0

  constructor () {
    this.versions = digests.map((digest, i) => [{ seq: 0, before: 0, version: 0, record: recordOf(digest, i) }])
  }

  join (id: string, windowMs: number): void {
    if (!this.members.has(id)) this.members.set(id, { acked: 0, renewals: 0, windowMs, isDead: false })
    this.windowMs = Math.max(0, ...this.living().map((member) => member.windowMs))
  }

  renew ({ id, applied, acked, timeline, rowsMax }: { id: string, applied: number, acked: number, timeline: string | undefined, rowsMax: number }, databaseTime: number): RenewalAnswer {
    const row = this.members.get(id)
    const alive = row !== undefined && !row.isDead
    if (alive) {
      row.renewals++
      if (timeline === this.timeline) row.acked = Math.max(row.acked, Math.min(acked, this.seq))
    }
    return { alive, ...this.readLog(applied, rowsMax), databaseTime }
  }

  readLog (applied: number, rowsMax: number): { seq: number, timeline: string, rows: LoggedChange[] } {
    return { seq: this.seq, timeline: this.timeline, rows: this.log.filter((row) => row.seq > applied).slice(-rowsMax) }
  }

  change (target: ChangeTarget, action: 'revoke' | 'change', allotted?: number): Commit {
    const seq = allotted ?? this.seq + 1
    const before = this.seq
    this.seq = Math.max(this.seq, seq)
    const change: LoggedChange = { seq, target, action }
    this.log = [...this.log, change].sort((one, other) => one.seq - other.seq)
    let wasDone = action === 'revoke'
    for (const versions of this.versions) {
      const newest = versions.at(-1) as KeyVersion
      if (!concerns(target, newest.record)) continue
      if (newest.record.revokedAt === null) wasDone = false
      const record = action === 'revoke' ? { ...newest.record, revokedAt: newest.record.revokedAt ?? seq } : newest.record
      versions.push({ seq, before, version: newest.version + 1, record })
    }
    return { seq, windowMs: this.windowMs, wasDone, change }
  }

  copy (): ModelPostgres {
    const copy = new ModelPostgres()
    return Object.assign(copy, { seq: this.seq, timeline: this.timeline, log: this.log, windowMs: this.windowMs })
  }

  /** The revocation that there is of a key already, if there is one, without a write. */
  revoked (target: ChangeTarget): Commit | undefined {
    const change = this.log.findLast((row) => row.action === 'revoke' && target.kind === 'key' && row.target.kind === 'key' && row.target.digest === target.digest)
    return change === undefined ? undefined : { seq: change.seq, windowMs: this.windowMs, wasDone: true, change, isReadOnly: true }
  }

  /** The standby takes over. It has every change up to `fork`, and none that was never confirmed to anyone. */
  failOver (fork: number): void {
    this.timeline += "'"
    this.seq = Math.min(this.seq, fork)
    this.log = this.log.filter((row) => row.seq <= fork)
    for (const [key, versions] of this.versions.entries()) this.versions[key] = versions.filter((version) => version.seq <= fork)
    for (const row of this.members.values()) row.acked = Math.min(row.acked, fork)
  }

  living (): Member[] {
    return [...this.members].filter(([, row]) => !row.isDead).map(([id, { acked, renewals, windowMs }]) => ({ id, acked, renewals, windowMs }))
  }

  reap (id: string, renewals: number | undefined): void {
    const row = this.members.get(id)
    if (row !== undefined && (renewals === undefined || row.renewals === renewals)) row.isDead = true
  }

  leave (id: string): void {
    this.members.delete(id)
  }

  prune (keepRows: number): void {
    this.log = this.log.filter((row) => row.seq > this.seq - keepRows)
  }
}

export function concerns (target: ChangeTarget, record: KeyRecord): boolean {
  if (target.kind === 'key') return record.digest === target.digest
  return target.kind === 'everything' || record.workspaceId === target.workspaceId
}

function recordOf (digest: Digest, i: number): KeyRecord {
  return {
    id: `key ${i}`, digest, workspaceId: `workspace ${i % 3}`, ownerId: null, name: 'a key', scope: 'mcp:read', metadata: {}, createdAt: 0, expiresAt: null, revokedAt: null, limits: null
  }
}
