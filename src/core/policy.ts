/** How long keys may live. null: no rule. */
export interface Policy {
  readonly maxLifetimeDays: number | null
  /** The lifetime of a key that is made without an expiry. */
  readonly defaultLifetimeDays: number | null
  /** A key is revoked after this many days without use. */
  readonly unusedDays: number | null
}

export const noPolicy: Policy = { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: null }

/** Of each limit the stricter one, of the settings or of the workspace. The workspace's default lifetime overrides that of the settings. */
export function effectivePolicy (settings: Policy, own: Policy): Policy {
  return {
    maxLifetimeDays: stricter(settings.maxLifetimeDays, own.maxLifetimeDays),
    defaultLifetimeDays: own.defaultLifetimeDays ?? settings.defaultLifetimeDays,
    unusedDays: stricter(settings.unusedDays, own.unusedDays)
  }
}

function stricter (one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other
  return Math.min(one, other)
}
