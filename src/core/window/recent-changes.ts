import type { Digest } from '../key-record.ts'
import type { LoggedChange } from './trust.ts'

/** The newest positions at which something was logged about one target; 0 is never. */
interface Marks {
  readonly changed: number
  readonly revoked: number
}

/** A run of changes that never changes again. Everything in it is at or before `newest`. */
interface Segment {
  readonly newest: number
  readonly rows: readonly LoggedChange[]
  readonly keys: ReadonlyMap<Digest, Marks>
  readonly workspaces: ReadonlyMap<string, number>
  readonly everything: number
}

/**
 * The newest changes that a replica knows of: at most `rowsMax` rows, in segments, newest first. Adding rows leaves the
 * segments there were as they are and merges small ones, so that it costs little and an older value stays whole.
 */
export interface RecentChanges {
  readonly newest: number
  readonly size: number
  readonly segments: readonly Segment[]
}

export const noChanges: RecentChanges = { newest: 0, size: 0, segments: [] }

export interface Extended {
  readonly changes: RecentChanges
  /** The newest position that had to be let go, or 0: what is older than that can no longer be judged. */
  readonly prunedTo: number
}

/** Adds rows in the order of the log, none of them before what there is, and lets go of the oldest beyond `rowsMax`. */
export function extendChanges (changes: RecentChanges, rows: readonly LoggedChange[], rowsMax: number): Extended {
  // A segment is let go as a whole: a tenth of all rows at most, so that pruning makes few entries stale at a time.
  const segmentRowsMax = Math.max(1, Math.floor(rowsMax / 10))
  const segments = [...changes.segments]
  for (let start = 0; start < rows.length; start += segmentRowsMax) {
    let joined = rows.slice(start, start + segmentRowsMax)
    while (segments[0] !== undefined && segments[0].rows.length <= joined.length && segments[0].rows.length + joined.length <= segmentRowsMax) {
      joined = [...(segments.shift() as Segment).rows, ...joined]
    }
    segments.unshift(segmentOf(joined))
  }
  let size = changes.size + rows.length
  let prunedTo = 0
  while (size > rowsMax) {
    const oldest = segments.pop() as Segment
    size -= oldest.rows.length
    prunedTo = oldest.newest
  }
  return { changes: { newest: segments[0]?.newest ?? 0, size, segments }, prunedTo }
}

/** All rows, oldest first. */
export function rowsOf (changes: RecentChanges): LoggedChange[] {
  return changes.segments.toReversed().flatMap((segment) => segment.rows)
}

/**
 * What the changes say about a key of which everything up to `asof` is known. A revoked workspace makes the key stale
 * and not revoked: a key made while its workspace was being revoked may have been spared.
 */
export function newsOf (changes: RecentChanges, asof: number, digest: Digest, workspaceId: string): 'none' | 'changed' | 'revoked' {
  let news: 'none' | 'changed' = 'none'
  for (const segment of changes.segments) {
    if (segment.newest <= asof) break
    const marks = segment.keys.get(digest)
    if (marks !== undefined && marks.revoked > asof) return 'revoked'
    if (marks !== undefined && marks.changed > asof) news = 'changed'
    if (segment.everything > asof || (segment.workspaces.get(workspaceId) ?? 0) > asof) news = 'changed'
  }
  return news
}

function segmentOf (rows: readonly LoggedChange[]): Segment {
  const keys = new Map<Digest, Marks>()
  const workspaces = new Map<string, number>()
  let everything = 0
  let newest = 0
  for (const { seq, target, action } of rows) {
    newest = Math.max(newest, seq)
    if (target.kind === 'everything') everything = Math.max(everything, seq)
    if (target.kind === 'workspace') workspaces.set(target.workspaceId, Math.max(seq, workspaces.get(target.workspaceId) ?? 0))
    if (target.kind !== 'key') continue
    for (const digest of target.digests) {
      const known = keys.get(digest)
      keys.set(digest, {
        changed: Math.max(seq, known?.changed ?? 0),
        revoked: Math.max(action === 'revoke' ? seq : 0, known?.revoked ?? 0)
      })
    }
  }
  return { newest, rows, keys, workspaces, everything }
}
