import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createConnection, Socket } from 'node:net'
import { isSocketFolder, parseDatabaseUrl, withParameters, type DatabaseAddress, type DatabaseHost } from '../core/database-address.ts'
import { secured, TlsRefused } from './tls.ts'

const connectTimeoutSeconds = 2

/** The address that a URL stands for right now: the files that it names are read. Throws what reading them throws, and `DatabaseUrlError`. */
export function addressOf (url: string): DatabaseAddress {
  const named = parseDatabaseUrl(url)
  const address = named.urlFile === undefined ? named : parseDatabaseUrl(withParameters(textOf(named.urlFile), named.overUrlFile))
  return {
    ...address,
    ...address.userFile !== undefined && { user: textOf(address.userFile) },
    ...address.passwordFile !== undefined && { password: textOf(address.passwordFile) }
  }
}

function textOf (file: string): string {
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

interface OpenOptions {
  /** Which of the hosts is tried first: the one that was reached last. */
  readonly first: number
  onHost (index: number): void
}

/**
 * A connection to the first host that takes one, encrypted as the address says. The driver would lose a place in its pool for ever if this rejected, so a failure comes as
 * a socket that ends with it.
 */
export async function openSocket (address: DatabaseAddress, { first, onHost }: OpenOptions): Promise<Socket> {
  const { hosts } = address
  let failure: unknown
  for (let n = 0; n < hosts.length; n++) {
    const i = (first + n) % hosts.length
    try {
      const socket = await open(address, hosts[i] as DatabaseHost)
      onHost(i)
      return closedLate(socket)
    } catch (error) {
      // Of several failures, one that an operator has to mend.
      if (!(failure instanceof TlsRefused)) failure = error
    }
  }
  return failedSocket(failure)
}

/** A connection that could not be made, as the driver takes it: what is written to it meanwhile goes nowhere. */
export function failedSocket (failure: unknown): Socket {
  const socket = closedLate(Object.assign(new Socket(), { write: () => true }))
  // Not in this turn: the driver has not listened yet.
  setImmediate(() => { socket.destroy(failure as Error) })
  return socket
}

/**
 * The socket, whose end the driver is told of one turn later. It writes in the turn after the one in which it is asked to, and if the connection ends between the two, it goes on
 * waiting for that turn: nothing is ever sent on that place of its pool again, or what was left over is sent on the next connection (docs/upstream/postgres-js.md).
 */
function closedLate (socket: Socket): Socket {
  const emit = socket.emit.bind(socket) as (event: string, ...values: unknown[]) => boolean
  return Object.assign(socket, {
    emit: (event: string, ...values: unknown[]) => {
      if (event !== 'close') return emit(event, ...values)
      setImmediate(() => { emit(event, ...values) })
      return socket.listenerCount(event) > 0
    }
  })
}

async function open (address: DatabaseAddress, { host, port }: DatabaseHost): Promise<Socket> {
  const { connectTimeoutSeconds: timeoutSeconds = connectTimeoutSeconds } = address
  const socket = isSocketFolder(host)
    ? createConnection({ path: `${host.startsWith('@') ? `\0${host.slice(1)}` : host}/.s.PGSQL.${port}` })
    : createConnection({ host, port })
  const timer = timeoutSeconds === 0 ? undefined : setTimeout(() => { socket.destroy(Object.assign(new Error('No connection in time.'), { code: 'CONNECT_TIMEOUT' })) }, timeoutSeconds * 1000)
  try {
    await once(socket, 'connect')
    return await secured(socket, address, host)
  } catch (error) {
    socket.on('error', () => {}).destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
