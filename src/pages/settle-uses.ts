import { setTimeout as sleep } from 'node:timers/promises'
import type { UsageBatcher } from '../core/usage.ts'

// A slow write must not delay the page for longer.
const settleMs = 500

export function settleUses (usage: Pick<UsageBatcher, 'flush'>): () => Promise<void> {
  return async () => { await Promise.race([usage.flush(), sleep(settleMs)]) }
}
