import { chownSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The user that Postgres runs as, if it is not the user of this process. */
export interface PostgresUser {
  readonly uid: number
  readonly gid: number
}

/**
 * Postgres refuses to run as root, so a service that does starts it as the user to whom its files belong already; else as `postgres`,
 * or as `nobody`. `undefined`: as whom this process runs.
 */
export function choosePostgresUser (place: string, dataFolder: string): PostgresUser | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const path of [place, dataFolder]) {
    const owner = statSync(path, { throwIfNoEntry: false })
    if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  }
  return userOf('postgres') ?? userOf('nobody') ?? { uid: 65534, gid: 65534 }
}

function userOf (name: string): PostgresUser | undefined {
  const fields = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':')).find(([user]) => user === name)
  const [uid, gid] = [Number(fields?.[2]), Number(fields?.[3])]
  return Number.isInteger(uid) && Number.isInteger(gid) && uid !== 0 ? { uid, gid } : undefined
}

/** Gives `user` what root owns in the folder, as after a backup was put back by root. */
export function giveTo (user: PostgresUser | undefined, folder: string): void {
  if (user === undefined || statSync(folder).uid === user.uid) return
  chownSync(folder, user.uid, user.gid)
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) chownSync(join(entry.parentPath, entry.name), user.uid, user.gid)
  }
}
