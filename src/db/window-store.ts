import type { RenewalAnswer } from '../core/window/state.ts'
import type { Joined, Renewal, WindowStore } from '../core/window/store.ts'
import type { Member } from '../core/window/waits.ts'
import { joinWindow } from './queries/join-window.ts'
import { leaveWindow } from './queries/leave-window.ts'
import { listLivingMembers } from './queries/list-living-members.ts'
import { pruneRevocationLog } from './queries/prune-revocation-log.ts'
import { reapMember } from './queries/reap-member.ts'
import { renewWindow } from './queries/renew-window.ts'
import { ReplaceableConnection, type OwnConnection } from './replaceable-connection.ts'

interface PostgresWindowStoreOptions {
  /** Opens a connection of its own to the primary: `() => connect({ url, max: 1 })`. Two are held at a time. */
  connect (): OwnConnection
}

/** The trust window's tables in Postgres: renewals on one connection, so that they wait for nothing, the rest on another. */
export class PostgresWindowStore implements WindowStore {
  readonly #renewals: ReplaceableConnection
  readonly #upkeep: ReplaceableConnection

  constructor ({ connect }: PostgresWindowStoreOptions) {
    this.#renewals = new ReplaceableConnection(connect)
    this.#upkeep = new ReplaceableConnection(connect)
  }

  join (id: string, windowMs: number, signal: AbortSignal): Promise<Joined> {
    return this.#upkeep.run(signal, (sql, schema) => joinWindow(sql, schema, { id, windowMs }))
  }

  renew (renewal: Renewal, signal: AbortSignal): Promise<RenewalAnswer> {
    return this.#renewals.run(signal, (sql, schema) => renewWindow(sql, schema, renewal))
  }

  members (signal: AbortSignal): Promise<readonly Member[]> {
    return this.#upkeep.run(signal, (sql, schema) => listLivingMembers(sql, schema))
  }

  reap (id: string, renewals: number | undefined, signal: AbortSignal): Promise<boolean> {
    return this.#upkeep.run(signal, (sql, schema) => reapMember(sql, schema, { id, renewals }))
  }

  prune (keepRows: number, signal: AbortSignal): Promise<number> {
    return this.#upkeep.run(signal, (sql, schema) => pruneRevocationLog(sql, schema, keepRows))
  }

  leave (id: string, signal: AbortSignal): Promise<void> {
    return this.#upkeep.run(signal, (sql, schema) => leaveWindow(sql, schema, id))
  }

  async close (): Promise<void> {
    await Promise.all([this.#renewals.close(), this.#upkeep.close()])
  }
}
