/** Milliseconds after the closing began until requests that still wait are refused: a revocation may wait for longer than a process may take to end. */
export const refusedAfterMs = 4000
/** Until calls of the gateway that still wait for their server are: theirs is another answer, since they may have been carried out, and it has to be out before. */
export const retiredAfterMs = refusedAfterMs - 500
