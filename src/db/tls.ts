import { readFileSync } from 'node:fs'
import { isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect, rootCertificates, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { isSocketFolder, type DatabaseAddress } from '../core/database-address.ts'

/** No encrypted connection could be made. The message says why and what to do. */
export class TlsRefused extends Error {
  readonly code = 'TLS_REFUSED'

  constructor (message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'TlsRefused'
  }
}

// SSLRequest (PostgreSQL manual, "SSL Session Encryption"), which the server answers with one byte.
const tlsRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const [accepts, refuses] = ['S'.charCodeAt(0), 'N'.charCodeAt(0)]

/**
 * The socket, encrypted as `sslmode` says. The driver cannot do this: it compares certificates with the first host of the URL, even if another host was reached. The files of
 * certificates are read for each connection. Rejects with `TlsRefused`, or with what closed the connection.
 */
export async function secured (socket: Socket, address: DatabaseAddress, host: string): Promise<Socket> {
  const { sslMode, certificateFile } = address
  if (sslMode === 'disable' || isSocketFolder(host)) return socket
  socket.write(tlsRequest)
  const answer = await firstBytes(socket)
  const mayBePlain = certificateFile === undefined && (sslMode === 'allow' || sslMode === 'prefer')
  if (answer[0] === refuses && answer.length === 1) {
    if (mayBePlain) return socket
    throw new TlsRefused('The Postgres server does not support TLS, which sslmode in DATABASE_URL, or DATABASE_CA_FILE, requires. Set `ssl = on` on the server, or use sslmode=prefer.')
  }
  // Bytes after the answer come from an attacker between client and server, who wants them to be read as if they had been encrypted.
  if (answer[0] !== accepts || answer.length !== 1) throw new TlsRefused('The server did not answer the request for TLS as Postgres does. Check host and port in DATABASE_URL.')
  return await handshake(socket, host, optionsOf(address, host))
}

function optionsOf ({ sslMode, caFile, certificateFile, keyFile }: DatabaseAddress, host: string): ConnectionOptions {
  const file = (name: string, what: string) => {
    try {
      return readFileSync(name)
    } catch (error) {
      throw new TlsRefused(`The file with ${what} cannot be read (${String((error as NodeJS.ErrnoException).code)}).`, error)
    }
  }
  return {
    ...isIP(host) === 0 && { servername: host },
    rejectUnauthorized: sslMode.startsWith('verify'),
    ca: caFile === undefined || caFile === 'system' ? [...rootCertificates] : file(caFile, 'the certificate authority of the database (DATABASE_CA_FILE, sslrootcert)'),
    ...certificateFile !== undefined && { cert: file(certificateFile, 'the client certificate (sslcert)') },
    ...keyFile !== undefined && { key: file(keyFile, 'the key of the client certificate (sslkey)') },
    // Of an address Node knows only that it is one, and would compare the certificate with "localhost".
    checkServerIdentity: (_, certificate) => sslMode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined
  }
}

async function firstBytes (socket: Socket): Promise<Buffer> {
  return await new Promise((resolve, reject) => {
    const end = () => { socket.off('data', answered).off('error', failed).off('close', closed) }
    const answered = (bytes: Buffer) => { end(); resolve(bytes) }
    const failed = (error: Error) => { end(); reject(error) }
    const closed = () => { failed(Object.assign(new Error('The server closed the connection.'), { code: 'ECONNRESET' })) }
    socket.on('data', answered).on('error', failed).on('close', closed)
  })
}

async function handshake (socket: Socket, host: string, options: ConnectionOptions): Promise<Socket> {
  let secure: TLSSocket
  try {
    secure = connect({ ...options, socket })
  } catch (error) {
    throw new TlsRefused(`A file with certificates for the database cannot be used: ${(error as Error).message}. It must be in PEM format.`, error)
  }
  return await new Promise((resolve, reject) => {
    const end = () => { secure.off('secureConnect', done).off('error', failed).off('close', closed) }
    const done = () => { end(); resolve(secure) }
    const failed = (error: NodeJS.ErrnoException) => {
      end()
      for (const each of [secure, socket]) each.on('error', () => {}).destroy()
      reject(isCertificateFault(error) ? new TlsRefused(`The certificate of the Postgres server "${host}" is not accepted: ${error.message}. Check DATABASE_CA_FILE, or sslrootcert and the host in DATABASE_URL, and the certificate on the server.`, error) : error)
    }
    const closed = () => { failed(Object.assign(new Error('The server closed the connection.'), { code: 'ECONNRESET' })) }
    secure.on('secureConnect', done).on('error', failed).on('close', closed)
  })
}

// What OpenSSL finds in a certificate, and what Node finds in the names that it has; others are of the connection itself.
function isCertificateFault ({ code = '' }: NodeJS.ErrnoException): boolean {
  return /CERT|SIGNATURE|^ERR_(TLS|SSL)_|CA$|CRL|HOSTNAME/.test(code)
}
