/** The keys of one owner that are not revoked. Counting stops at a bound; `isExact`: it was not reached. */
export interface OwnerOverview {
  /** null: keys that have no owner. */
  readonly ownerId: string | null
  /** Not revoked, expired ones among them. */
  readonly unrevoked: number
  readonly active: number
  /** Active, and never used. */
  readonly neverUsed: number
  /** Active, and used within the last seven days. */
  readonly usedLately: number
  readonly lastUsedAt: number | null
  readonly isExact: boolean
}

/** What the admins of a workspace need to know before they change many keys at once. */
export interface OverviewStore {
  /** Owners who have keys that are not revoked, in the order of their ids, after one of them. */
  owners (query: { readonly workspaceId: string, readonly after: string | undefined, readonly rowsMax: number }): Promise<readonly OwnerOverview[]>
  owner (query: { readonly workspaceId: string, readonly ownerId: string }): Promise<OwnerOverview>
  /** How many keys a maximum of so many days would shorten, counted up to a bound. */
  longerThan (query: { readonly workspaceId: string, readonly days: number }): Promise<{ readonly count: number, readonly isExact: boolean }>
}
