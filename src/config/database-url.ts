import { DatabaseUrlError, parseDatabaseUrl, withParameters } from '../core/database-address.ts'
import type { Settings } from './settings.ts'

interface DatabaseUrl {
  /** `undefined`: the embedded Postgres. */
  readonly url: string | undefined
  readonly faults: readonly string[]
}

/**
 * One URL from DATABASE_URL and the settings of its parts, which take precedence. Values from files are in it as the names of the
 * files, so that a rotated password needs no restart.
 */
export function readDatabaseUrl (values: Settings, environment: Readonly<Record<string, string | undefined>>): DatabaseUrl {
  const { DATABASE_URL: base, DATABASE_HOST: host } = values
  const parts = { host, port: values.DATABASE_PORT, dbname: values.DATABASE_NAME, sslrootcert: values.DATABASE_CA_FILE }
  const isGiven = Object.values({ ...parts, user: values.DATABASE_USER, password: values.DATABASE_PASSWORD }).some((value) => value !== undefined)
  if (base === undefined && host === undefined) {
    return { url: undefined, faults: isGiven ? ['DATABASE_HOST or DATABASE_URL is needed with the other settings of the database: set it to the host of the primary.'] : [] }
  }
  try {
    const query = Object.entries({
      // First, because the later parameters come from settings, which take precedence over the file.
      ...environment['DATABASE_URL_FILE'] && { url_file: environment['DATABASE_URL_FILE'] },
      ...parts,
      ...fromFile('user', values.DATABASE_USER, environment['DATABASE_USER_FILE']),
      ...fromFile('password', values.DATABASE_PASSWORD, environment['DATABASE_PASSWORD_FILE'])
    }).flatMap(([name, value]) => value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]).join('&')
    const url = withParameters(base ?? 'postgres://', query)
    parseDatabaseUrl(url)
    return { url, faults: [] }
  } catch (error) {
    if (!(error instanceof DatabaseUrlError)) throw error
    return { url: base ?? 'postgres://', faults: [`DATABASE_URL cannot be used: ${error.message}.`] }
  }
}

function fromFile (name: 'user' | 'password', value: string | undefined, file: string | undefined): Record<string, string | undefined> {
  return file ? { [`${name}_file`]: file } : { [name]: value }
}
