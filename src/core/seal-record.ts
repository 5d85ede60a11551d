import type { KeyRecord } from './key-record.ts'

/**
 * The record as the caches share it between requests: nobody can change it for the next one, and what prints it,
 * such as an answer or a log line that holds the whole of it, does not print the digest.
 */
export function sealRecord (record: KeyRecord): KeyRecord {
  const { digest, metadata, ...rest } = record
  const sealed = Object.defineProperty({ ...rest, metadata: Object.freeze(metadata) }, 'digest', { value: digest, enumerable: false })
  return Object.freeze(sealed) as unknown as KeyRecord
}
