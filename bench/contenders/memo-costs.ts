import { hash } from 'node:crypto'
import { createServer } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openKeys } from 'navis-keys'
import { TokenMemo } from '../../dist/core/window/token-memo.js'
import { medianOf } from '../support/statistics.ts'
import { TokenFile } from '../support/token-file.ts'
import { setting } from './serve.ts'

interface Cost {
  readonly hotNs: number
  readonly coldNs: number
  readonly coldestNs: number
}

export interface MemoCosts {
  readonly plain: Cost
  readonly same: Cost
  readonly map: Cost
}

const connections = 64
const perRound = 20_000
const rounds = 20
const samples = 400

const keys = await openKeys({ databaseUrl: setting('DATABASE_URL') })
const file = await TokenFile.open(setting('TOKENS_FILE'))
// As requests bring them: a text of its own each time, and a part of a longer one.
const headers = (await file.read(0, Math.min(connections, file.count))).map((token) => `Bearer ${token}`)
const copies = [0, 1].map(() => headers.map((header) => Buffer.from(header, 'latin1').toString('latin1')))
const memos = headers.map(() => new TokenMemo())
const map = new Map<string, object>(headers.map((header) => [hash('sha256', header.slice(7), 'binary'), {}]))
const textOf = (i: number) => copies[Math.floor(i / headers.length) % 2]![i % headers.length]!

const works: Readonly<Record<keyof MemoCosts, (i: number) => void>> = {
  plain: (i) => { assertValid(keys.verifier.verify(textOf(i).slice(7), { scope: 'mcp:read' })) },
  same: (i) => { assertValid(keys.verifier.verify(textOf(i).slice(7), { scope: 'mcp:read', memo: memos[i % headers.length] })) },
  map: (i) => { if (map.get(hash('sha256', textOf(i).slice(7), 'binary')) === undefined) throw new Error('It is not in the map.') }
}
const names = Object.keys(works) as Array<keyof MemoCosts>

function assertValid (verdict: object): void {
  if (!('valid' in verdict) || verdict.valid !== true) throw new Error('Memory did not answer, or refused.')
}

/** By turns, so that whatever the machine does meanwhile happens to all; the loop turns in between, or the trust window could not be renewed. */
async function hot (): Promise<Record<keyof MemoCosts, number>> {
  const found = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<keyof MemoCosts, number[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const before = process.cpuUsage()
      for (let i = 0; i < perRound; i++) works[name](i)
      const { user, system } = process.cpuUsage(before)
      found[name].push((user + system) / perRound * 1000)
      await nextTurn()
    }
  }
  return Object.fromEntries(names.map((name) => [name, medianOf(found[name].slice(5))])) as Record<keyof MemoCosts, number>
}

async function cold (bytes: number): Promise<Record<keyof MemoCosts, number>> {
  const other = new Float64Array(bytes / 8)
  const found = Object.fromEntries([...names, 'nothing'].map((name) => [name, [] as number[]]))
  for (let i = 0; i < samples; i++) {
    await nextTurn()
    for (const name of [...names, 'nothing' as const]) {
      const work = name === 'nothing' ? () => {} : works[name]
      // Just before, so that the memo and the table hold it.
      work(i)
      for (let at = 0; at < other.length; at += 8) other[at]!++
      const from = process.hrtime.bigint()
      work(i)
      found[name]!.push(Number(process.hrtime.bigint() - from))
    }
  }
  const nothing = medianOf(found['nothing']!)
  return Object.fromEntries(names.map((name) => [name, medianOf(found[name]!) - nothing])) as Record<keyof MemoCosts, number>
}

async function costs (): Promise<MemoCosts> {
  for (const header of headers) assertValid(await keys.verifier.verify(header.slice(7)))
  const [inLoop, after2, after8] = [await hot(), await cold(2 << 20), await cold(8 << 20)]
  return Object.fromEntries(names.map((name) => [name, { hotNs: inLoop[name], coldNs: after2[name], coldestNs: after8[name] }])) as unknown as MemoCosts
}

createServer((request, response) => {
  if (request.url !== '/costs') return response.end()
  costs().then((found) => response.end(JSON.stringify(found)), (error: unknown) => response.writeHead(500).end(String(error)))
}).listen(Number(setting('PORT')), setting('HOST'))
