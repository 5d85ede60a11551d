import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { request, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Teardowns } from '../../support/servers.ts'

const run = promisify(execFile)

/** Where Node keeps what it has compiled: the suite is started again and again. */
const compiled = fileURLToPath(new URL('../../../node_modules/.cache/conformance', import.meta.url))

/** The checks of one scenario, each with its status; a check of one id may stand there several times. */
export type Scenario = ReadonlyArray<readonly [id: string, status: string]>

export interface SuiteOptions {
  /** A Node that the suite runs on: 22 or later. */
  readonly node: string
  /** The package that holds the suite. */
  readonly suite: '@modelcontextprotocol/conformance' | 'conformance-stable'
  /** What to run, as the command line of the suite has it. */
  readonly args: readonly string[]
}

/** Runs the official conformance suite (`@modelcontextprotocol/conformance`) against a server, and answers its checks by scenario. */
export async function runSuite (url: string, outputDir: string, { node, suite, args }: SuiteOptions): Promise<ReadonlyMap<string, Scenario>> {
  const file = new URL(`../../../node_modules/${suite}/dist/index.js`, import.meta.url).pathname
  // It ends with a status other than 0 when a scenario fails: what counts stands in the files that it wrote.
  const { stderr } = await run(node, [file, 'server', '--url', url, '-o', outputDir, ...args], { env: { ...process.env, NODE_COMPILE_CACHE: compiled }, maxBuffer: 2 ** 26, timeout: 240_000 }).catch((error: { stderr: string }) => error)
  const folders = readdirSync(outputDir).sort()
  if (folders.length === 0) throw new Error(`The conformance suite ran nothing.\n${stderr}`)
  return new Map(folders.map((folder) => {
    const checks = JSON.parse(readFileSync(`${outputDir}/${folder}/checks.json`, 'utf8')) as Array<{ id: string, status: string }>
    return [folder.replace(/^server-(.*)-\d{4}-\d\d-\d\dT.*$/, '$1'), checks.map(({ id, status }) => [id, status] as const)]
  }))
}

export function passes (scenario: Scenario): boolean {
  return scenario.some(([, status]) => status === 'SUCCESS') && scenario.every(([, status]) => status !== 'FAILURE')
}

/** The suite sends no credential: this passes everything on as it came, `Host` too, with the key of one client. */
export async function withKey (t: Teardowns, target: string, token: string): Promise<string> {
  const { hostname, port, pathname } = new URL(target)
  const server = createServer((incoming, response) => {
    const headers = [...incoming.rawHeaders, 'Authorization', `Bearer ${token}`]
    const sent = request({ hostname, port, path: pathname, method: incoming.method, headers, setHost: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.rawHeaders)
      response.flushHeaders()
      answer.on('error', () => { response.destroy() }).pipe(response)
    })
    sent.on('error', () => { response.destroy() })
    response.once('close', () => { sent.destroy() })
    incoming.pipe(sent)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => { server.close(resolve) })
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`
}
