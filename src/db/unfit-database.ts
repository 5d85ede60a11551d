import { hasCode } from './outage.ts'

/** A database on which the service cannot keep its promises. Trying again does not help; the message says what does. */
export class UnfitDatabase extends Error {
  constructor (message: string) {
    super(message)
    this.name = 'UnfitDatabase'
  }
}

// By SQLSTATE: what a server says to a connection that it will not take the next time either.
const refusals: Readonly<Record<string, string>> = {
  '28P01': 'Postgres refuses the user or the password in DATABASE_URL (the plugin: `databaseUrl`). Check both.',
  28000: 'Postgres does not allow the user in DATABASE_URL (the plugin: `databaseUrl`) to connect. Check the user, and pg_hba.conf on the server.',
  '3D000': 'The database that DATABASE_URL (the plugin: `databaseUrl`) names does not exist. Create it, for example with createdb.'
}

/** What to do where Postgres refuses the connection for its user, its password or its database; `undefined`: it does not. */
export function refusedConnection (error: unknown): UnfitDatabase | undefined {
  const [, sentence] = Object.entries(refusals).find(([code]) => hasCode(error, code)) ?? []
  return sentence === undefined ? undefined : new UnfitDatabase(sentence)
}
