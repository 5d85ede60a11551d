import type { Policy } from '../core/policy.ts'

const usualDays = 90

/** For how many days a key is not used before the pages call it unused: as the policy has it. */
export function unusedDaysOf ({ unusedDays }: Policy): number {
  return unusedDays ?? usualDays
}
