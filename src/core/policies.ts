import type { Clock } from './clock.ts'
import { committed } from './committed.ts'
import type { Fault } from './errors.ts'
import { invalid } from './key-errors.ts'
import type { KeyStore } from './key-store.ts'
import type { Policy } from './policy.ts'
import type { Force } from './window/trust.ts'

interface PoliciesOptions {
  readonly store: Pick<KeyStore, 'policy' | 'setPolicy' | 'applyPolicy'>
  readonly force: Force
  readonly clock: Clock
}

export interface SetPolicy {
  readonly workspaceId: string
  readonly actor: string
  readonly policy: Policy
  /** `all`: existing keys that live longer are shortened; `new`: the policy only binds keys that are created, edited or rotated from now on. */
  readonly apply: 'new' | 'all'
}

/** A hundred years. */
export const policyDaysMax = 36_500

/** How long the keys of a workspace may live. */
export class Policies {
  readonly #options: PoliciesOptions

  constructor (options: PoliciesOptions) {
    this.#options = options
  }

  /** The workspace's own policy. */
  async get (workspaceId: string): Promise<Policy> {
    return await this.#options.store.policy(workspaceId)
  }

  /** Replaces the workspace's policy. What `all` shortens is in force on every replica when this returns. */
  async set ({ workspaceId, actor, policy, apply }: SetPolicy): Promise<{ policy: Policy, shortened: number }> {
    const faults = policyFaults(policy)
    if (faults.length > 0) throw invalid(faults)
    const { store, force, clock } = this.#options
    await store.setPolicy({ workspaceId, actor, policy })
    if (apply === 'new') return { policy, shortened: 0 }
    const { shortened, logged } = await store.applyPolicy({ workspaceId, actor })
    await force.inForce(committed(clock, 'change', { kind: 'workspace', workspaceId }, logged))
    return { policy, shortened }
  }
}

/** What is wrong with a policy. */
export function policyFaults ({ maxLifetimeDays, defaultLifetimeDays, unusedDays }: Policy): Fault[] {
  const days = { max_lifetime_days: maxLifetimeDays, default_lifetime_days: defaultLifetimeDays, unused_days: unusedDays }
  const faults = Object.entries(days).flatMap(([name, value]) => value === null || (Number.isInteger(value) && value >= 1 && value <= policyDaysMax)
    ? []
    : [{ pointer: `/${name}`, detail: `Must be a whole number of days from 1 to ${policyDaysMax}, or null for no rule.` }])
  if (faults.length === 0 && maxLifetimeDays !== null && defaultLifetimeDays !== null && defaultLifetimeDays > maxLifetimeDays) {
    faults.push({ pointer: '/default_lifetime_days', detail: 'Must not be longer than max_lifetime_days.' })
  }
  return faults
}
