import type { Notice } from 'postgres'

/** A commit whose wait for a synchronous standby was cancelled: the primary has it, and it is not known whether the standby has. */
export class WaitCancelled extends Error {
  constructor () {
    super('The wait for a synchronous standby was cancelled.')
    this.name = 'WaitCancelled'
  }
}

export const isCancelledWait = (error: unknown): boolean => error instanceof WaitCancelled

// The server's function that waits. Unlike the text of its warning, the name is not translated.
const waitsForStandby = 'SyncRepWaitForLSN'

/**
 * For the driver's `onnotice`. The server sends the warning before it answers the statement whose commit waited, and what `onnotice` throws rejects the
 * statement that is being answered on that connection: this one, and no other. The connection goes on.
 */
export function refuseCancelledWait ({ routine }: Notice): void {
  if (routine === waitsForStandby) throw new WaitCancelled()
}
