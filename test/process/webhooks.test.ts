import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import t, { type Test } from 'tap'
import { freePort } from '../support/server-process.ts'
import { PostgresServer } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { ask, ready, secret as management, startMain } from './service.ts'

const waitMs = 240_000
const secrets = [0, 1].map(() => `whsec_${randomBytes(32).toString('base64')}`)

interface Told { readonly id: string, readonly type: string, readonly data: { readonly key_id: string, readonly key: { readonly name: string } } }

/** A receiver that can be taken away and given back on the same port. Checks every signature with the official library. */
class TestReceiver {
  readonly confirmed: Told[] = []
  readonly texts: string[] = []
  badSignatures = 0
  /** How to answer: `fail` is a 500, `cut` a connection that ends, although the event was taken. */
  mood: 'confirm' | 'fail' | 'cut' = 'confirm'
  port = 0
  #server: Server | undefined

  async start (t: Test): Promise<this> {
    this.#server = createServer((request, response) => {
      let body = ''
      request.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
        this.#check(request, body)
        if (this.mood === 'fail') return response.writeHead(500).end()
        this.confirmed.push(JSON.parse(body) as Told)
        if (this.mood === 'cut') return response.destroy()
        response.writeHead(204).end()
      })
    })
    await new Promise<void>((resolve) => { this.#server!.listen(this.port, '127.0.0.1', resolve) })
    this.port = (this.#server.address() as AddressInfo).port
    t.teardown(() => { this.kill() })
    return this
  }

  kill (): void {
    this.#server?.closeAllConnections()
    this.#server?.close()
    this.#server = undefined
  }

  get url (): string {
    return `http://127.0.0.1:${this.port}/hooks`
  }

  /** What was told of each key, without repeats. */
  stories (): Map<string, string[]> {
    const stories = new Map<string, string[]>()
    const seen = new Set<string>()
    for (const { id, type, data } of this.confirmed) {
      if (seen.has(id)) continue
      seen.add(id)
      stories.set(data.key_id, [...stories.get(data.key_id) ?? [], type === 'key.updated' ? data.key.name : type])
    }
    return stories
  }

  #check ({ headers }: IncomingMessage, body: string): void {
    this.texts.push(body)
    try {
      for (const secret of secrets) new Webhook(secret).verify(body, headers as Record<string, string>)
    } catch {
      this.badSignatures++
    }
  }
}

t.test('replicas, receivers and Postgres are killed and started again: no event is lost, each key is told of in order, every signature is right', { timeout: 600_000 }, async (t) => {
  const postgres = await PostgresServer.start()
  t.teardown(() => postgres.remove())
  const one = await new TestReceiver().start(t)
  const two = await new TestReceiver().start(t)
  const ports = [await freePort(), await freePort()]
  const run = (i: number) => startMain(t, {
    env: {
      PORT: String(ports[i]),
      DATABASE_URL: postgres.url,
      MANAGEMENT_TOKENS: `ops=${management}`,
      LOG_FORMAT: 'json',
      WEBHOOK_URLS: `${one.url}\n${two.url}`,
      WEBHOOK_SECRETS: secrets.join(','),
      TRUST_WINDOW_MS: '1000'
    }
  })
  const replicas = [run(0), run(1)]
  await Promise.all(ports.map(ready))
  // A receiver begins with what happens after a replica has named it for the first time.
  const { sql, close } = await connected(postgres.url)
  t.teardown(close)
  await until(async () => (await sql`select 1 from navis_keys.receivers`).length === 2, { timeoutMs: waitMs })

  const wanted = new Map<string, string[]>()
  const call = async (method: string, path: string, body?: object) => {
    for (let i = 0; ; i++) {
      try {
        const answer = await ask(`http://127.0.0.1:${ports[i % 2]}/v1/workspaces/acme/keys${path}`, { method, body: body && JSON.stringify(body) })
        if (answer.status < 500) return answer
      } catch { /* the replica is away; the other one is asked */ }
      await new Promise((resolve) => { setTimeout(resolve, 100) })
    }
  }
  /** One key's life. A change that was repeated, because its answer got lost, may be told of twice. */
  const live = async (n: number) => {
    const made = JSON.parse((await call('POST', '', { name: `key ${n}`, scope: 'mcp:read' })).body) as { id: string, token: string }
    const story = ['key.created']
    wanted.set(made.id, story)
    for (let step = 0; step < 8; step++) {
      await call('PATCH', `/${made.id}`, { name: `step ${step}` })
      story.push(`step ${step}`)
      await new Promise((resolve) => { setTimeout(resolve, 50 + Math.random() * 300) })
    }
    await call('DELETE', `/${made.id}`)
    story.push('key.revoked')
    t.notOk([...one.texts, ...two.texts].some((text) => text.includes(made.token)), 'no token in any event')
  }
  const lives = Promise.all(Array.from({ length: 10 }, async (_, n) => { await live(n) }))

  one.mood = 'fail'
  await until(() => two.confirmed.length > 5, { timeoutMs: waitMs })
  await replicas[0]!.kill('SIGKILL')
  two.kill()
  one.mood = 'cut'
  await until(() => one.confirmed.length > 5, { timeoutMs: waitMs })
  await postgres.kill()
  replicas[0] = run(0)
  await replicas[1]!.kill('SIGKILL')
  one.mood = 'confirm'
  await postgres.start()
  await two.start(t)
  await ready(ports[0]!)
  replicas[1] = run(1)
  await ready(ports[1]!)
  await lives

  // A repeated request is told of again: the stories are compared without such repeats.
  const isTold = (receiver: TestReceiver) => {
    const stories = receiver.stories()
    return [...wanted].every(([id, story]) => stories.get(id)?.at(-1) === story.at(-1))
  }
  await until(() => isTold(one) && isTold(two), { timeoutMs: waitMs })
  for (const receiver of [one, two]) {
    const stories = receiver.stories()
    for (const [id, story] of wanted) t.strictSame(withoutRepeats(stories.get(id) ?? []), story)
    t.equal(receiver.badSignatures, 0)
  }
  t.notOk(replicas.some(({ output }) => secrets.some((secret) => output.includes(secret.slice(6)))), 'no secret in a log')
  const allDelivered = async () => { await until(async () => (await sql`select 1 from navis_keys.deliveries`).length === 0, { timeoutMs: waitMs }) }
  await allDelivered()

  await t.test('a replica that is frozen holds up no event, whichever of the two it is, and tells nothing out of order when it goes on', async (t) => {
    const changed = async (port: number, method: string, path: string, body?: object) => {
      const answer = await ask(`http://127.0.0.1:${port}/v1/workspaces/acme/keys${path}`, { method, body: body && JSON.stringify(body) })
      t.ok(answer.status < 300, `${method} ${path}: ${answer.status}`)
      return answer.body === '' ? undefined : JSON.parse(answer.body) as { id: string }
    }
    const told: string[] = []
    const story = ['key.created', 'renamed', 'key.rotated', 'key.revoked']
    for (const [i, frozen] of replicas.entries()) {
      const port = ports[1 - i]!
      // It has just been told that there is work, and may be sending.
      const { id = '' } = await changed(port, 'POST', '', { name: 'key', scope: 'mcp:read' }) ?? {}
      frozen.process.kill('SIGSTOP')
      await changed(port, 'PATCH', `/${id}`, { name: 'renamed' })
      await changed(port, 'POST', `/${id}/rotate`, { grace_seconds: 60 })
      await changed(port, 'DELETE', `/${id}`)
      told.push(id)
      await until(() => [one, two].every((receiver) => receiver.stories().get(id)?.at(-1) === 'key.revoked'), { timeoutMs: waitMs })
      frozen.process.kill('SIGCONT')
      await ready(ports[i]!)
    }
    await allDelivered()
    for (const receiver of [one, two]) {
      for (const id of told) t.strictSame(receiver.stories().get(id), story)
      t.equal(receiver.badSignatures, 0)
    }
  })
})

async function connected (url: string) {
  const { connect } = await import('../../src/db/connect.ts')
  const { sql, close } = connect({ url, max: 1 })
  return { sql, close }
}

function withoutRepeats (story: readonly string[]): string[] {
  return story.filter((what, i) => what !== story[i - 1])
}
