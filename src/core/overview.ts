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

export interface OwnersQuery {
  readonly workspaceId: string
  /** A part of the owner id, in any case; empty: every owner. */
  readonly q: string
  /** Owners after this one; `undefined`: from the first. */
  readonly after: string | undefined
  readonly rowsMax: number
}

export interface FoundOwners {
  readonly owners: readonly OwnerOverview[]
  /** The last owner that was looked at, if the search stopped at its bound before the page was full: it goes on after this one. Otherwise null. */
  readonly stoppedAt: string | null
}

/** What the admins of a workspace need to know before they change many keys at once. */
export interface OverviewStore {
  /** Owners who have keys that are not revoked, in the order of their ids. */
  owners (query: OwnersQuery): Promise<FoundOwners>
  owner (query: { readonly workspaceId: string, readonly ownerId: string }): Promise<OwnerOverview>
  /** How many keys a maximum of so many days would shorten, counted up to a bound. */
  longerThan (query: { readonly workspaceId: string, readonly days: number }): Promise<{ readonly count: number, readonly isExact: boolean }>
}
