/** Waits for every change and every joining under way, and keeps later ones waiting until the transaction ends. */
export function lockClock (schema: string): string {
  return `select row_secret from "${schema}".revocation_clock where id = 1 for update`
}

/** Makes the clock show the longest window of any living member, which is what a change waits out. After `lockClock`, in a statement of its own. */
export function settleWindowLength (schema: string): string {
  return `
    update "${schema}".revocation_clock
    set window_ms = coalesce((select max(window_ms) from "${schema}".window_members where dead_at is null), 0)
    where id = 1`
}
