import { setTimeout as sleep } from 'node:timers/promises'
import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { Client } from '../support/client.ts'
import { Program } from '../support/program.ts'
import { number, type Section } from '../support/section.ts'
import { medianOf } from '../support/statistics.ts'

interface Case {
  readonly title: string
  readonly path: string
  /** Clients that ask at once, and how often each of them does so, one request after another. */
  readonly clients: number
  readonly times: number
  /** Whether requests of many kinds have been answered since the text was generated. */
  readonly isBusy: boolean
  /** Whether it is held against what a scrape may cost. */
  readonly isAim: boolean
}

const once = { clients: 1, times: 1, isBusy: false, isAim: true }
const cases: readonly Case[] = [
  { ...once, title: '`/metrics`, one client, nothing has changed', path: '/metrics' },
  { ...once, title: '`/metrics`, one client, and requests of a dozen kinds since the scrape before', path: '/metrics', isBusy: true },
  { ...once, title: '`/metrics`, ten clients at once', path: '/metrics', clients: 10 },
  { ...once, title: '`/metrics`, ten clients, each ten times without a pause', path: '/metrics', clients: 10, times: 10 },
  { ...once, title: '`/livez`, one client', path: '/livez', isAim: false }
]

// The text of a scrape is a second old at most: after this time it is made again.
const betweenMs = 1050
// When the answer has arrived, the service may still write its log.
const settleMs = 5
const warmUpScrapes = 3

/** The processor time that a scrape costs the service, by who asks. */
export async function scrape (bench: Bench): Promise<Section> {
  const found = new Map<Case, number[]>(cases.map((one) => [one, []]))
  let bytes = 0
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const service = await Program.startService(t, { name: 'scrape', env: { ...serviceSettings({ databaseUrl: await bench.database(), redisUrl: bench.redisUrl(10) }), LOG_LEVEL: 'info' } })
      const requests = requestsOf(t, service)
      for (let second = 0; second < bench.options.warmUpSeconds; second++) await requests()
      const scrape = async ({ path, times }: Case) => {
        for (let i = 0; i < times; i++) {
          const text = await (await fetch(service.urlOf(path))).text()
          if (path === '/metrics') bytes = text.length
        }
      }
      for (let round = -warmUpScrapes; round < bench.options.rounds * bench.options.seconds; round++) {
        for (const one of cases) {
          if (one.isBusy) await requests()
          await sleep(betweenMs)
          const nothing = await cpuUsOf(service, async () => {})
          const all = await cpuUsOf(service, async () => { await Promise.all(Array.from({ length: one.clients }, async () => { await scrape(one) })) })
          if (round >= 0) found.get(one)!.push((all - nothing) / (one.clients * one.times))
        }
      }
    })
  }
  const costUs = (one: Case) => medianOf(found.get(one)!)
  return {
    title: 'A scrape',
    about: `The whole service with Redis, and Prometheus' way of asking: once a second, so that all that the processor's caches and the compiler had for it may be gone. The processor time of the process, all threads, from before the requests until ${settleMs} ms after the last answer, less that of ${settleMs} ms without any, divided by the requests. The text has ${number(bytes)} bytes and is a second old at most. A request for \`/livez\` says what is paid for being asked at all.`,
    tables: [{ columns: ['asked', 'processor time of one request, ms'], rows: cases.map((one) => [one.title, number(costUs(one) / 1000)]) }],
    goals: cases.filter(({ isAim }) => isAim).map((one) => ({ what: one.title, atMost: 0.5, unit: ' ms', reached: costUs(one) / 1000 }))
  }
}

async function cpuUsOf (service: Program, act: () => Promise<void>): Promise<number> {
  const before = service.cpuUs()
  await act()
  await sleep(settleMs)
  return service.cpuUs() - before
}

/** One request each of what clients, proxies and operators send, with the answers that they get. */
function requestsOf (t: Teardowns, service: Program): () => Promise<void> {
  const management = new Client(t, { url: service.urlOf(''), credential: managementToken })
  const keys = '/v1/workspaces/scraped/keys'
  return async () => {
    const { id, token } = (await management.ask('POST', keys, { name: 'Bench key', scope: 'mcp:read' })).body as { id: string, token: string }
    for (const path of [keys, `${keys}/${id}`, '/v1/workspaces/scraped/audit', '/readyz', '/livez', '/openapi.json']) await management.ask('GET', path)
    for (const body of [{ token }, { token, scope: 'mcp:write' }]) await management.ask('POST', '/v1/verify', body)
    for (const [path, credential] of [['/forward-auth', token], ['/forward-auth?scope=mcp:write', token], ['/forward-auth', `${token}x`], ['/nowhere', token]] as const) {
      await (await fetch(service.urlOf(path), { headers: { authorization: `Bearer ${credential}` } })).text()
    }
    await management.ask('DELETE', `${keys}/${id}`)
  }
}
