import type { Digest } from '../core/key-record.ts'
import type { Entry } from '../core/lookup.ts'

/** The entry, if it is of the key that was asked for. A mix-up anywhere below would hand one client another one's rights. */
export function assertAskedFor (digest: Digest, entry: Entry | undefined): Entry | undefined {
  if (entry !== undefined && entry.record.digest !== digest) throw new Error('A lookup tier returned the record of another key.')
  return entry
}
