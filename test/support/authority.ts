import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Certificate {
  readonly key: Buffer
  readonly cert: Buffer
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority of the test's own, and certificates that it, or nobody, has signed. Each is also there as `<name>.pem` and `<name>.key` in its folder. */
export class Authority {
  readonly #dir: string

  constructor (dir: string) {
    this.#dir = dir
    this.#openssl('req', '-x509', ...newKey, '-days', '2', '-subj', '/CN=authority of a test', '-keyout', 'ca.key', '-out', 'ca.pem')
  }

  get file (): string {
    return join(this.#dir, 'ca.pem')
  }

  sign (name: string, { subject = 'IP:127.0.0.1', days = 2 }: { subject?: string, days?: number } = {}): Certificate {
    this.#openssl('req', ...newKey, '-subj', `/CN=${name}`, '-addext', `subjectAltName=${subject}`, '-keyout', `${name}.key`, '-out', `${name}.csr`)
    this.#openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-copy_extensions', 'copyall', '-days', String(days), '-out', `${name}.pem`)
    return this.#read(name)
  }

  signOwn (name: string): Certificate {
    this.#openssl('req', '-x509', ...newKey, '-days', '2', '-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${name}.key`, '-out', `${name}.pem`)
    return this.#read(name)
  }

  #read (name: string): Certificate {
    return { key: readFileSync(join(this.#dir, `${name}.key`)), cert: readFileSync(join(this.#dir, `${name}.pem`)) }
  }

  #openssl (...args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.#dir, stdio: 'ignore' })
  }
}
