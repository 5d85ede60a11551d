/*
 * What libpq takes as a connection URI (PostgreSQL manual, 34.1.1.2 and 34.1.2), read strictly: each parameter is honoured, or refused by its name.
 * Three more are ours: `password_file`, `user_file` and `url_file` name files that are read again for each connection.
 */

/** The names of schemas that hold our tables. Postgres keeps `pg_…` and `information_schema` for itself; in `public`, which Drizzle cannot name, the tables of others stand. */
export const schemaName = {
  pattern: '^(?!pg_|(?:public|information_schema)$)[a-z_][a-z0-9_]{0,62}$',
  says: 'at most 63 lower-case letters, digits and underscores, not beginning with a digit or with pg_, and not public or information_schema'
} as const

export type SslMode = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full'

/** A host and a port, or the folder of a unix socket. */
export interface DatabaseHost {
  readonly host: string
  readonly port: number
}

export interface DatabaseAddress {
  readonly hosts: readonly DatabaseHost[]
  readonly user: string | undefined
  readonly password: string | undefined
  readonly database: string | undefined
  readonly sslMode: SslMode
  /** Files in PEM. */
  readonly caFile: string | undefined
  readonly certificateFile: string | undefined
  readonly keyFile: string | undefined
  readonly userFile: string | undefined
  readonly passwordFile: string | undefined
  readonly urlFile: string | undefined
  readonly connectTimeoutSeconds: number | undefined
  /** 0: none are sent. */
  readonly keepAliveSeconds: number | undefined
  readonly applicationName: string | undefined
  /** As `psql` sends them: `-c name=value`. */
  readonly options: string | undefined
  /** The parameters that stand after `url_file`: they count more than what is in that file. */
  readonly overUrlFile: string
  /** Whether a pooler is said to stand in between, which refuses settings of the session. */
  readonly isPooled: boolean
}

/** A URL that cannot be used. The message names the part, and never shows its value. */
export class DatabaseUrlError extends TypeError {
  readonly code = 'DATABASE_URL_INVALID'

  constructor (message: string) {
    super(message)
    this.name = 'DatabaseUrlError'
  }
}

type Check = (value: string) => string | undefined

const oneOf = (...values: string[]): Check => (value) => values.includes(value) ? undefined : `must be ${values.join(' or ')}`
const anything: Check = () => undefined
const wholeNumber: Check = (value) => /^\d{1,6}$/.test(value) ? undefined : 'must be a whole number'
const refused = (why: string): Check => () => why

const parameters: Readonly<Record<string, Check>> = {
  host: anything,
  port: anything,
  user: anything,
  password: anything,
  dbname: anything,
  user_file: anything,
  password_file: anything,
  url_file: anything,
  sslmode: oneOf('disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'),
  ssl: oneOf('true', 'false'),
  sslrootcert: anything,
  sslcert: anything,
  sslkey: anything,
  sslcompression: oneOf('0'),
  sslsni: oneOf('1'),
  sslnegotiation: oneOf('postgres'),
  connect_timeout: wholeNumber,
  keepalives: oneOf('0', '1'),
  keepalives_idle: wholeNumber,
  application_name: anything,
  fallback_application_name: anything,
  options: anything,
  client_encoding: (value) => /^(utf-?8|auto)$/i.test(value) ? undefined : 'must be UTF8',
  target_session_attrs: (value) => ['any', 'read-write', 'primary'].includes(value) ? undefined : 'must be any, read-write or primary: only the primary may decide whether a key is revoked',
  channel_binding: (value) => ['disable', 'prefer'].includes(value) ? undefined : 'must be disable or prefer: the driver does not support channel binding. Use sslmode=verify-full to verify the identity of the server',
  gssencmode: oneOf('disable', 'prefer'),
  load_balance_hosts: oneOf('disable'),
  pgbouncer: oneOf('true', 'false'),
  schema: refused('is not a parameter of libpq. Set DATABASE_SCHEMA instead'),
  search_path: refused('is not a parameter of libpq. Set DATABASE_SCHEMA instead'),
  connection_limit: refused('is not a parameter of libpq. Set DATABASE_CONNECTIONS_MAX instead'),
  pool_timeout: refused('is not a parameter of libpq. Remove it')
}

const localHosts = new Set(['localhost', '127.0.0.1', '::1'])

/** Reads a connection URI; throws `DatabaseUrlError`. A password may have characters that a URL would write with a percent sign. */
export function parseDatabaseUrl (text: string): DatabaseAddress {
  const match = /^postgres(?:ql)?:\/\/(.*)$/s.exec(text)
  if (match === null) throw new DatabaseUrlError('it is not a URL such as postgres://user:password@host:5432/database')
  const rest = match[1] ?? ''
  const queryAt = queryIn(rest)
  const beforeQuery = rest.slice(0, queryAt)
  const at = beforeQuery.lastIndexOf('@')
  const [userInfo, location] = at === -1 ? ['', beforeQuery] : [beforeQuery.slice(0, at), beforeQuery.slice(at + 1)]
  const colon = userInfo.indexOf(':')
  const slash = location.indexOf('/')
  const query = rest.slice(queryAt + 1)
  const values = parametersOf(query)
  const value = (name: string) => values.get(name) || undefined
  const hosts = hostsOf(value('host') ?? (slash === -1 ? location : location.slice(0, slash)), value('port')?.split(',') ?? [])
  return {
    hosts,
    user: value('user') ?? (decoded(colon === -1 ? userInfo : userInfo.slice(0, colon)) || undefined),
    password: value('password') ?? (colon === -1 ? undefined : decoded(userInfo.slice(colon + 1))),
    database: value('dbname') ?? (slash === -1 ? undefined : decoded(location.slice(slash + 1)) || undefined),
    sslMode: sslModeOf(values, hosts),
    caFile: value('sslrootcert'),
    certificateFile: value('sslcert'),
    keyFile: value('sslkey'),
    userFile: value('user_file'),
    passwordFile: value('password_file'),
    urlFile: value('url_file'),
    connectTimeoutSeconds: value('connect_timeout') === undefined ? undefined : Number(value('connect_timeout')),
    keepAliveSeconds: value('keepalives') === '0' ? 0 : value('keepalives_idle') === undefined ? undefined : Number(value('keepalives_idle')),
    applicationName: value('application_name') ?? value('fallback_application_name'),
    options: value('options'),
    isPooled: value('pgbouncer') === 'true',
    overUrlFile: query.split('&').reduce<string[] | undefined>((after, part) => part.startsWith('url_file=') ? [] : after && [...after, part], undefined)?.join('&') ?? ''
  }
}

/** The same URL with more parameters, which count more than those that it has. */
export function withParameters (url: string, parameters: string): string {
  if (parameters === '') return url
  const separator = queryIn(url) === url.length ? '?' : /[?&]$/.test(url) ? '' : '&'
  return `${url}${separator}${parameters}`
}

// A password may hold any of / ? # @ as they are, so the last of each counts; a value behind the question mark writes its @ as %40.
function queryIn (text: string): number {
  return /\?(?:\w+=[^?&@]*(?:&|$))*$/.exec(text)?.index ?? text.length
}

function parametersOf (query: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const part of query.split('&').filter(Boolean)) {
    const [name = '', ...value] = part.split('=')
    const text = decoded(value.join('='))
    const check = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    const fault = check === undefined ? 'is unknown. Remove it' : check(text)
    if (fault !== undefined) throw new DatabaseUrlError(`its parameter ${/^[\w-]{1,40}$/.test(name) ? name : 'with an unusual name'} ${fault}`)
    values.set(name, text)
  }
  return values
}

// The parameter `port` overrides a port in the host part.
function hostsOf (text: string, ports: readonly string[]): DatabaseHost[] {
  return text.split(',').map((part, i) => {
    const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]*))(?::(\d{1,5})?)?$/.exec(part) ?? []
    if (bracketed === undefined && plain === undefined) throw new DatabaseUrlError('a host in it is neither a name nor an address, or its port is not a number. Put an IPv6 address into brackets [ ]')
    const host = bracketed ?? decoded(plain ?? '')
    const number = Number((ports[i] ?? ports[0] ?? port ?? '') || 5432)
    if (!Number.isInteger(number) || number < 1 || number > 65535) throw new DatabaseUrlError('a port in it is not from 1 to 65535')
    return { host: host === '' ? 'localhost' : host, port: number }
  })
}

// The default: verified if the URL names an authority; else, as in libpq, encrypted if the server supports it, except on loopback.
function sslModeOf (values: ReadonlyMap<string, string>, hosts: readonly DatabaseHost[]): SslMode {
  const given = values.get('sslmode') ?? (values.get('ssl') === 'true' ? 'require' : values.get('ssl') === 'false' ? 'disable' : undefined)
  const unsaid = values.get('sslrootcert') ? 'verify-full' : undefined
  const mode = given === undefined || given === '' ? unsaid ?? (hosts.every(({ host }) => isSocketFolder(host) || localHosts.has(host)) ? 'disable' : 'prefer') : given as SslMode
  if (values.get('sslrootcert') && mode === 'require') return values.get('sslrootcert') === 'system' ? 'verify-full' : 'verify-ca'
  return mode
}

export function isSocketFolder (host: string): boolean {
  return host.startsWith('/') || host.startsWith('@')
}

// A percent sign that begins no escape sequence is part of the password.
function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
