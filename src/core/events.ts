export const eventTypes = [
  'key.created', 'key.updated', 'key.rotated', 'key.revoked', 'key.expiring', 'key.expired', 'key.unused', 'key.leaked', 'key.ended_token_used'
] as const

/** What happened to a key. */
export type EventType = typeof eventTypes[number]
