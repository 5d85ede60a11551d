import type { TransactionSql } from 'postgres'

/** Makes the clock show the longest window of any living member, which is what a change waits out. The caller holds the clock's lock. */
export async function settleWindowLength (tx: TransactionSql): Promise<void> {
  await tx`
    update revocation_clock
    set window_ms = coalesce((select max(window_ms) from window_members where dead_at is null), 0)
    where id = 1`
}
