export interface RedisHost {
  readonly host: string
  readonly port: number
}

/** The servers that REDIS_URL names. */
export interface RedisAddress {
  readonly mode: 'single' | 'sentinel' | 'cluster'
  /** The server, or the Sentinels, or some nodes of the Cluster. Of several, some may be down. */
  readonly hosts: readonly [RedisHost, ...RedisHost[]]
  readonly isTls: boolean
  readonly database: number
  /** The name of the master that the Sentinels watch; empty without Sentinels. */
  readonly master: string
  readonly username: string | undefined
  readonly password: string | undefined
  readonly sentinelUsername: string | undefined
  readonly sentinelPassword: string | undefined
}

/** REDIS_URL cannot be understood. The message completes the sentence "REDIS_URL …" and quotes nothing from the URL. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError'
}

const shape = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^/?#@]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/
const hostShape = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/
const defaultPorts = { single: 6379, sentinel: 26379, cluster: 6379 } as const
const sentinelParameters = ['sentinel_username', 'sentinel_password']

/** Reads `redis://…`, `redis+sentinel://h1:26379,h2:26379/mymaster/0`, `redis+cluster://h1:6379,h2:6379`, and `rediss…` for TLS. */
export function parseRedisUrl (url: string): RedisAddress {
  const match = shape.exec(url)
  if (match === null) throw new RedisUrlError('must be a URL such as redis://host:6379/0, redis+sentinel://host:26379,host:26379/mymaster/0 or redis+cluster://host:6379,host:6379; rediss for TLS.')
  const [, tls, mode = 'single', userinfo = '', hosts = '', path = '', query = ''] = match as unknown as [string, string, RedisAddress['mode'] | undefined, string?, string?, string?, string?]
  const [username, password] = credentialsOf(userinfo)
  const { master, database } = placeOf(mode, path)
  const parameters = parametersOf(mode, query)
  return {
    mode,
    hosts: hostsOf(mode, hosts),
    isTls: tls === 's',
    database,
    master,
    username,
    password,
    sentinelUsername: parameters.get('sentinel_username') ?? undefined,
    sentinelPassword: parameters.get('sentinel_password') ?? undefined
  }
}

function hostsOf (mode: RedisAddress['mode'], text: string): RedisAddress['hosts'] {
  const [first, ...others] = text.split(',').map((one) => {
    const [, host, port] = hostShape.exec(one) ?? []
    if (host === undefined || Number(port ?? 1) > 65535 || Number(port ?? 1) < 1) throw new RedisUrlError('has a host that is not host:port. Put an IPv6 address into brackets, and percent-encode special characters of the password.')
    return { host: host.replace(/^\[|\]$/g, ''), port: port === undefined ? defaultPorts[mode] : Number(port) }
  }) as [RedisHost, ...RedisHost[]]
  if (mode === 'single' && others.length > 0) throw new RedisUrlError('has several hosts: use redis+sentinel:// or redis+cluster://.')
  return [first, ...others]
}

function placeOf (mode: RedisAddress['mode'], path: string): { readonly master: string, readonly database: number } {
  const parts = path.split('/').filter((part) => part !== '')
  const master = mode === 'sentinel' ? decoded(parts.shift() ?? '') : ''
  if (mode === 'sentinel' && master === '') throw new RedisUrlError('must name the master that the Sentinels watch, such as redis+sentinel://host:26379/mymaster/0.')
  const [number = '0', ...more] = parts
  if (!/^\d{1,5}$/.test(number) || more.length > 0) throw new RedisUrlError(`must end with a database number${mode === 'sentinel' ? ' after the name of the master' : ''}, or with none.`)
  if (mode === 'cluster' && Number(number) !== 0) throw new RedisUrlError('has a database number, but a Redis Cluster has only database 0. Remove the number.')
  return { master, database: Number(number) }
}

function credentialsOf (userinfo: string): [string | undefined, string | undefined] {
  const [, username = '', password = ''] = /^([^:]*):?(.*)$/.exec(userinfo) ?? []
  return [decoded(username) || undefined, decoded(password) || undefined]
}

function parametersOf (mode: RedisAddress['mode'], query: string): URLSearchParams {
  const parameters = new URLSearchParams(query)
  const unknown = [...parameters.keys()].filter((name) => mode !== 'sentinel' || !sentinelParameters.includes(name))
  if (unknown.length > 0) throw new RedisUrlError(`has an unknown parameter: ${unknown[0]!.replace(/[^\w-]/g, '?').slice(0, 40)}. Remove it.${mode === 'sentinel' ? ` Known parameters: ${sentinelParameters.join(' and ')}.` : ''}`)
  return parameters
}

function decoded (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new RedisUrlError('has a percent sign that is not part of a percent-encoding. Write %25 for a percent sign.')
  }
}
