import { readFileSync } from 'node:fs'
import { createConnection, Socket } from 'node:net'
import { checkServerIdentity, rootCertificates, type ConnectionOptions } from 'node:tls'
import { isSocketFolder, parseDatabaseUrl, type DatabaseAddress, type DatabaseHost } from '../core/database-address.ts'

const connectTimeoutSeconds = 2

/** The address that a URL stands for right now: the files that it names are read. Throws what reading them throws, and `DatabaseUrlError`. */
export function addressOf (url: string): DatabaseAddress {
  const given = parseDatabaseUrl(url)
  const address = given.urlFile === undefined ? given : over(given, parseDatabaseUrl(textOf(given.urlFile)))
  return {
    ...address,
    ...address.userFile !== undefined && { user: textOf(address.userFile) },
    ...address.passwordFile !== undefined && { password: textOf(address.passwordFile) }
  }
}

// What stands in the URL itself is said by a setting of its own, and counts more than the file.
function over (given: DatabaseAddress, base: DatabaseAddress): DatabaseAddress {
  const said = Object.entries(given).filter(([name, value]) => value !== undefined && value !== '' && !['hosts', 'sslMode', 'isPooled', 'hasQuery', 'urlFile'].includes(name))
  return { ...base, ...Object.fromEntries(said) }
}

function textOf (file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/** What the driver's `ssl` takes. */
export function tlsOf (address: DatabaseAddress): ConnectionOptions | 'prefer' | 'require' | false {
  const { sslMode, caFile, certificateFile, keyFile, hosts } = address
  if (sslMode === 'disable' || hosts.every(({ host }) => isSocketFolder(host))) return false
  if (certificateFile === undefined && (sslMode === 'allow' || sslMode === 'prefer')) return 'prefer'
  const [first] = hosts
  return {
    rejectUnauthorized: sslMode.startsWith('verify'),
    ca: caFile === undefined || caFile === 'system' ? [...rootCertificates] : readFileSync(caFile),
    ...certificateFile !== undefined && { cert: readFileSync(certificateFile) },
    ...keyFile !== undefined && { key: readFileSync(keyFile) },
    // Of an address Node only knows that it is one, and compares the certificate with "localhost".
    checkServerIdentity: (host, certificate) => sslMode === 'verify-ca' ? undefined : checkServerIdentity(host === 'localhost' ? first?.host ?? host : host, certificate)
  }
}

interface OpenOptions {
  /** Which of the hosts is tried first: the one that was reached last. */
  readonly first: number
  onHost (index: number): void
}

/**
 * A connection to the first host that takes one. The driver would lose a place in its pool for ever if this rejected, so a failure comes as a socket that
 * ends with it.
 */
export async function openSocket (address: DatabaseAddress, { first, onHost }: OpenOptions): Promise<Socket> {
  const { hosts, connectTimeoutSeconds: timeout = connectTimeoutSeconds } = address
  let failure: unknown
  for (let n = 0; n < hosts.length; n++) {
    const i = (first + n) % hosts.length
    try {
      const socket = await open(hosts[i] as DatabaseHost, timeout)
      onHost(i)
      return socket
    } catch (error) {
      failure = error
    }
  }
  return failedSocket(failure)
}

/** A connection that could not be made, as the driver takes it. */
export function failedSocket (failure: unknown): Socket {
  const socket = new Socket()
  setImmediate(() => { socket.destroy(failure as Error) })
  return socket
}

async function open ({ host, port }: DatabaseHost, timeoutSeconds: number): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = isSocketFolder(host)
      ? createConnection({ path: `${host.startsWith('@') ? `\0${host.slice(1)}` : host}/.s.PGSQL.${port}` })
      : createConnection({ host, port })
    const timer = timeoutSeconds === 0 ? undefined : setTimeout(() => { socket.destroy(Object.assign(new Error('No connection in time.'), { code: 'CONNECT_TIMEOUT' })) }, timeoutSeconds * 1000)
    socket.once('error', reject)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', reject)
      // The driver names the host to a server that is encrypted.
      resolve(Object.assign(socket, { host, port }))
    })
    socket.once('close', () => { clearTimeout(timer) })
  })
}
