import type { Sql } from 'postgres'
import { connect } from '../connect.ts'

// Any number will do: 'owner' on a telephone keypad.
const ownerKey = 69637
// Much shorter than the time after which another process takes a server without an owner for one that was left behind (`ownerPauseMs`).
const takeAgainEveryMs = 50

/** A place in the database that one process can have: the server gives it free when the process ends, however that happens. */
export interface Ownership {
  close (): Promise<void>
}

/** Makes this process the owner of the database that runs there, until it closes that; or tells which other process is. */
export async function becomeOwner (url: string): Promise<Ownership | { readonly holder: string }> {
  let isOwner = false
  const { sql, close } = connect({
    url,
    max: 1,
    applicationName: `process ${process.pid}`,
    isKept: true,
    // A server that has ended a connection, as it does when one of its processes crashes, has given the lock free.
    onclose: () => { if (isOwner) takeAgain() }
  })
  const takeAgain = () => {
    const later = () => { if (isOwner) setTimeout(takeAgain, takeAgainEveryMs).unref() }
    // One that asks who the owner is has the lock itself for a moment.
    takeLock(sql).then((isTaken) => { if (!isTaken) later() }, later)
  }
  const end = async () => {
    isOwner = false
    await close()
  }
  try {
    let holder: string | undefined
    // Whoever had it when this one asked may have ended since, as after kill -9.
    while (holder === undefined) {
      isOwner = await takeLock(sql)
      if (isOwner) return { close: end }
      const [row] = await sql<Array<{ name: string }>>`
        select application_name as name from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and classid = 0 and objid = ${ownerKey}::oid and granted`
      holder = row?.name
    }
    await end()
    return { holder }
  } catch (error) {
    await end()
    throw error
  }
}

async function takeLock (sql: Sql): Promise<boolean> {
  const [row] = await sql<[{ taken: boolean }]>`select pg_try_advisory_lock(${ownerKey}) as taken`
  return row.taken
}
