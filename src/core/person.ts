/** Who has signed in, and what they may do in which workspace. */
export interface Person {
  readonly workspaceId: string
  /** The owner of the keys that this person makes. null: signed in with a management token. */
  readonly ownerId: string | null
  /** For people to read. */
  readonly name: string
  /** For the audit. */
  readonly actor: string
  /** May see and revoke all keys of the workspace. */
  readonly admin: boolean
}

/** Whether the person may see and revoke a key of that workspace and owner. */
export function mayManage (person: Person, key: { readonly workspaceId: string, readonly ownerId: string | null }): boolean {
  if (key.workspaceId !== person.workspaceId) return false
  return person.admin || (person.ownerId !== null && key.ownerId === person.ownerId)
}
