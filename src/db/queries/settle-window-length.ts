/** Waits for every change and every joining under way, and keeps later ones waiting until the transaction ends. */
export const lockClock = 'select row_secret from revocation_clock where id = 1 for update'

/** Makes the clock show the longest window of any living member, which is what a change waits out. After `lockClock`, in a statement of its own. */
export const settleWindowLength = `
  update revocation_clock
  set window_ms = coalesce((select max(window_ms) from window_members where dead_at is null), 0)
  where id = 1`
