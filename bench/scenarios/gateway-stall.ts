import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/server-process.ts'
import type { Teardowns } from '../../test/support/servers.ts'
import type { Bench } from '../bench.ts'
import { managementToken, serviceSettings } from '../contenders.ts'
import { Client } from '../support/client.ts'
import { hostileAnswers, hostileBodies } from '../support/hostile-shapes.ts'
import type { Pauses } from '../support/pause-meter.ts'
import { percentileOf } from '../support/percentile.ts'
import { Program, otherCore } from '../support/program.ts'
import { number, type Section, type Table } from '../support/section.ts'

interface Case {
  readonly title: string
  /** What the attacker asks for, where there is one. */
  readonly attack?: { readonly path: string, readonly body?: string, readonly at: number }
}

interface Found {
  readonly pingMs: readonly number[]
  readonly deleteMs: readonly number[]
  readonly pauses: Pauses
  /** The most that was in use at a time. */
  readonly usedBytes: number
  readonly attacks: string
}

const cases: readonly Case[] = [
  { title: 'nothing' },
  ...hostileBodies.map(({ name, title }) => ({ title: `body: ${title}`, attack: { path: '/mcp', body: name, at: 10 } })),
  ...hostileAnswers.map(({ name, title }) => ({ title: `answer: ${title}`, attack: { path: `/mcp/${name}`, at: 4 } }))
]
const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }

/** What others notice of a key that sends, or asks an upstream for, what is dear to read. */
export async function gatewayStall (bench: Bench): Promise<Section> {
  const found = new Map<Case, Found[]>(cases.map((one) => [one, []]))
  for (let generation = 0; generation < bench.options.generations; generation++) {
    await bench.scope(async (t) => {
      const scene = await start(bench, t)
      for (const one of cases) {
        found.get(one)!.push(await measure(scene, one, bench.options.seconds))
        bench.tell(`${one.title}: ${inShort(found.get(one)!.at(-1)!)}`)
      }
    })
  }
  const idle = found.get(cases[0]!)!
  return {
    title: 'A key that would stall the gateway',
    about: 'The whole service, one process, with MCP upstreams. One key with `mcp:read` sends bodies of 1 MiB that are dear to read, ten at a time without a pause, or asks four times at once for lists of tools that are dear to pass on; ' +
      'meanwhile another workspace\'s key sends one `ping` after another through the gateway, to an upstream of its own, and keys of a third are made and revoked. What is computed between two turns of the event loop leaves out what the thread waited for other processes; ' +
      'memory is that of JavaScript and of buffers that is in use while the attack goes on, above that while nobody attacks.',
    tables: [table(found, idle)],
    goals: [
      { what: 'p99 of another key\'s ping, beside the worst', atMost: 100, unit: ' ms', reached: Math.max(...[...found.values()].map((all) => pingOf(all))) },
      { what: 'p99 of a `DELETE`, beside the worst', atMost: 500, unit: ' ms', reached: Math.max(...[...found.values()].map((all) => deleteOf(all))) },
      { what: 'longest that the main thread computed between two turns of the event loop', atMost: 20, unit: ' ms', reached: Math.max(...[...found.values()].map((all) => longestOf(all))) },
      { what: 'memory of one key that attacks, above none', atMost: 64, unit: ' MiB', reached: Math.max(...[...found.values()].map((all) => memoryOf(all, idle))) }
    ]
  }
}

async function start (bench: Bench, t: Teardowns) {
  const databaseUrl = await bench.database()
  const pausePort = await freePort()
  const hostile = await Program.startFile(t, 'hostile.ts', { name: 'hostile', core: otherCore })
  // A process of its own: what it takes a hostile upstream to answer says nothing about the gateway.
  const plain = await Program.startFile(t, 'hostile.ts', { name: 'plain', core: otherCore })
  const policy = join(bench.dir, 'stall-policy.json')
  writeFileSync(policy, JSON.stringify({ upstreams: Object.fromEntries(['default', 'neighbour', ...hostileAnswers.map(({ name }) => name)].map((name) => [name, { tools: { 'get_*': 'mcp:read' } }])) }))
  const service = await Program.startService(t, {
    name: 'stall',
    nodeOptions: ['--expose-gc', '--import', new URL('../../test/support/typescript.js', import.meta.url).href, '--import', new URL('../support/pause-port.ts', import.meta.url).href],
    env: {
      ...serviceSettings({ databaseUrl, redisUrl: bench.redisUrl(9) }),
      PAUSE_PORT: String(pausePort),
      LOG_LEVEL: 'info',
      MCP_UPSTREAM_URL: hostile.urlOf('/plain'),
      MCP_UPSTREAMS: [`neighbour=${plain.urlOf('/plain')}`, ...hostileAnswers.map(({ name }) => `${name}=${hostile.urlOf(`/answers/${name}`)}`)].join(','),
      MCP_POLICY_FILE: policy
    }
  })
  const management = new Client(t, { url: service.urlOf(''), credential: managementToken })
  const mint = async (workspace: string) => (await management.ask('POST', `/v1/workspaces/${workspace}/keys`, { name: 'Bench key', scope: 'mcp:read' })).body as { id: string, token: string }
  const [attacker, neighbour] = [await mint('attacker'), await mint('neighbour')]
  return { service, hostile, management, mint, attacker, pausePort, neighbour: new Client(t, { url: service.urlOf(''), credential: neighbour.token }) }
}

async function measure ({ service, hostile, management, mint, attacker, neighbour, pausePort }: Awaited<ReturnType<typeof start>>, { attack }: Case, seconds: number): Promise<Found> {
  const tell = async (path: string, body?: unknown) => await (await fetch(hostile.urlOf(path), { method: 'POST', ...body === undefined ? {} : { body: JSON.stringify(body) } })).text()
  const watch = async <T> (path: string) => await (await fetch(`http://127.0.0.1:${pausePort}${path}`, { method: 'POST' })).json() as T
  if (attack !== undefined) await tell('/attack', { url: service.urlOf(attack.path), token: attacker.token, body: attack.body, at: attack.at })
  await watch('/')
  const until = performance.now() + seconds * 1000
  const [pingMs, deleteMs] = [[] as number[], [] as number[]]
  await Promise.all([
    repeat(until, async () => { pingMs.push((await neighbour.ask('POST', '/mcp/neighbour', ping)).ms) }),
    repeat(until, async () => {
      const { id } = await mint('third')
      deleteMs.push((await management.ask('DELETE', `/v1/workspaces/third/keys/${id}`)).ms)
    })
  ])
  const pauses = await watch<Pauses>('/')
  let usedBytes = 0
  for (let i = 0; i < 10; i++) usedBytes = Math.max(usedBytes, await watch<number>('/memory'))
  return { pingMs, deleteMs, pauses, usedBytes, attacks: attack === undefined ? '' : await tell('/stop') }
}

async function repeat (until: number, act: () => Promise<void>): Promise<void> {
  while (performance.now() < until) {
    await act()
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}

const pingOf = (all: readonly Found[]) => percentileOf(all.flatMap(({ pingMs }) => pingMs), 0.99)
const deleteOf = (all: readonly Found[]) => percentileOf(all.flatMap(({ deleteMs }) => deleteMs), 0.99)
const longestOf = (all: readonly Found[]) => Math.max(...all.map(({ pauses }) => pauses.longestComputedMs))
const memoryOf = (all: readonly Found[], idle: readonly Found[]) => (Math.max(...all.map(({ usedBytes }) => usedBytes)) - Math.max(...idle.map(({ usedBytes }) => usedBytes))) / 2 ** 20

function table (found: ReadonlyMap<Case, readonly Found[]>, idle: readonly Found[]): Table {
  return {
    columns: ['beside', 'another key\'s ping: p50, ms', 'p99', '`DELETE`: p50, ms', 'p99', 'computed between two turns at most, ms', 'memory above none, MiB'],
    rows: [...found].map(([{ title }, all]) => [
      title,
      number(percentileOf(all.flatMap(({ pingMs }) => pingMs), 0.5)),
      number(pingOf(all)),
      number(percentileOf(all.flatMap(({ deleteMs }) => deleteMs), 0.5)),
      number(deleteOf(all)),
      number(longestOf(all)),
      number(memoryOf(all, idle))
    ])
  }
}

function inShort ({ pingMs, deleteMs, pauses, usedBytes, attacks }: Found): string {
  const [ping, removal] = [pingMs, deleteMs].map((all) => percentileOf(all, 0.99).toFixed(1))
  return `ping ${ping}, delete ${removal}, held ${pauses.longestComputedMs.toFixed(1)} (on core ${pauses.longestOnCoreMs.toFixed(1)}, in all ${pauses.longestMs.toFixed(1)}) ms, ${(usedBytes / 2 ** 20).toFixed(0)} MiB; attacker: ${attacks}`
}
