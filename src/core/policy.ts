/** How long keys may live; null: no such rule. */
export interface Policy {
  readonly maxLifetimeDays: number | null
  /** What a key gets that is made without an expiry. */
  readonly defaultLifetimeDays: number | null
  /** A key that is not used for so many days is revoked. */
  readonly unusedDays: number | null
}

export const noPolicy: Policy = { maxLifetimeDays: null, defaultLifetimeDays: null, unusedDays: null }

/** The stricter of the settings' and the workspace's own counts; the default is the workspace's, where it has one. */
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
