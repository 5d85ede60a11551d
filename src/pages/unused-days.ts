import type { Policy } from '../core/policy.ts'

const usualDays = 90

/** After how many days without use the pages call a key unused: the `unusedDays` of the policy, or else 90. */
export function unusedDaysOf ({ unusedDays }: Policy): number {
  return unusedDays ?? usualDays
}
