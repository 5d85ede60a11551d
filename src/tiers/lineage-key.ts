import { createHmac } from 'node:crypto'

/**
 * What everything in Redis is signed with, and named after: a key of the database's secret and of its lineage (R0). A copy of the
 * database has the same secret, but a lineage of its own before it uses Redis: it neither reads, nor hears, nor writes over anything of the
 * original. Only the buckets of rate limits do not wait for it (decision 0349).
 */
export class LineageKey {
  readonly bytes: Buffer
  /** Begin of every name: databases can share one Redis. */
  readonly prefix: string

  constructor (rowSecret: Uint8Array, lineage: string) {
    this.bytes = createHmac('sha256', rowSecret).update('navis-keys lineage\n').update(lineage).digest()
    this.prefix = `navis-keys:${createHmac('sha256', this.bytes).update('navis-keys names\n').digest('hex').slice(0, 16)}`
  }
}
