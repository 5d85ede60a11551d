import { mkdtempSync } from 'node:fs'
import { request as httpRequest, type Agent, type IncomingHttpHeaders } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Child } from '../support/child.ts'
import { removeFolder } from '../support/remove-folder.ts'
import { until, type Teardowns } from '../support/servers.ts'

export const secret = 'process-tests-management-secret-0123456789'
export const startMs = 60_000

export function freshFolder (t: Teardowns): string {
  const folder = mkdtempSync(join(tmpdir(), 'navis-process-'))
  t.teardown(async () => { await removeFolder(folder) })
  return folder
}

/** The built service, which `npm test` builds first. */
export function startMain (t: Teardowns, { env, cwd }: { env: Readonly<Record<string, string>>, cwd?: string }): Child {
  return new Child(t, { file: 'dist/main.js', env, ...cwd === undefined ? {} : { cwd } })
}

export async function ready (port: number): Promise<void> {
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, { timeoutMs: startMs })
}

export interface Asked {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface AskOptions {
  readonly agent?: Agent | undefined
  readonly method?: string
  /** JSON */
  readonly body?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** One request with the management token, with no repetition of any kind; rejects when its connection fails. */
export async function ask (url: string, { agent, method = 'GET', body, headers = {} }: AskOptions = {}): Promise<Asked> {
  return await new Promise((resolve, reject) => {
    const request = httpRequest(url, {
      ...agent === undefined ? {} : { agent },
      method,
      headers: { authorization: `Bearer ${secret}`, ...body === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }, ...headers }
    }, (response) => {
      let text = ''
      response.on('data', (chunk) => { text += String(chunk) })
      response.once('error', reject)
      response.once('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }) })
    })
    request.once('error', reject)
    request.end(body)
  })
}
