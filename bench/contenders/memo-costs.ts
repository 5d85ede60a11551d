import { hash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { openKeys } from 'navis-keys'
import { TokenMemo } from '../../dist/core/window/token-memo.js'
import { loopCosts } from '../support/loop-costs.ts'
import { medianOf } from '../support/statistics.ts'
import { TokenFile } from '../support/token-file.ts'
import { serveCosts, setting } from './serve.ts'

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
  const [inLoop, after2, after8] = [await loopCosts(works, { rounds: 20, warmUpRounds: 5 }), await cold(2 << 20), await cold(8 << 20)]
  return Object.fromEntries(names.map((name) => [name, { hotNs: inLoop[name], coldNs: after2[name], coldestNs: after8[name] }])) as unknown as MemoCosts
}

serveCosts(costs)
