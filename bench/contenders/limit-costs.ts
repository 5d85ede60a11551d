import { openKeys } from 'navis-keys'
import { TokenMemo } from '../../dist/core/window/token-memo.js'
import { loopCosts } from '../support/loop-costs.ts'
import { TokenFile } from '../support/token-file.ts'
import { serveCosts, setting } from './serve.ts'

/** Nanoseconds on the core, of one verification in a loop. */
export interface LimitCosts {
  readonly plain: number
  readonly limited: number
  /** Of the token that the connection has sent just before. */
  readonly plainSame: number
  readonly limitedSame: number
}

const drawn = 1000
const connections = 64

const keys = await openKeys({ databaseUrl: setting('DATABASE_URL') })
const [plain, limited] = await Promise.all(['TOKENS_FILE', 'LIMITED_FILE'].map(async (name) => await textsOf(setting(name)))) as [Texts, Texts]

interface Texts {
  /** As requests bring them: a text of its own each time, and a part of a longer one. */
  readonly copies: readonly [readonly string[], readonly string[]]
  readonly memos: readonly TokenMemo[]
}

async function textsOf (path: string): Promise<Texts> {
  const file = await TokenFile.open(path)
  const tokens = await file.spread(file.count, drawn)
  const copy = () => tokens.map((token) => Buffer.from(`Bearer ${token}`, 'latin1').toString('latin1'))
  return { copies: [copy(), copy()], memos: Array.from({ length: Math.min(connections, tokens.length) }, () => new TokenMemo()) }
}

function assertValid (verdict: object, isLimited: boolean): void {
  if (!('valid' in verdict) || verdict.valid !== true) throw new Error('Memory did not answer, or refused.')
  if (('rate' in verdict) !== isLimited) throw new Error('A key has no limit, or has one, against what it was made with.')
}

function other ({ copies }: Texts, i: number, isLimited: boolean): void {
  const texts = copies[i & 1 ? 1 : 0]
  // A stride of a prime through the tokens: no order that a cache could learn, and no time for drawing.
  const text = texts[i * 389 % texts.length]!
  assertValid(keys.verifier.verify(text.slice(7), { scope: 'mcp:read' }), isLimited)
}

function same ({ copies, memos }: Texts, i: number, isLimited: boolean): void {
  const at = i % memos.length
  assertValid(keys.verifier.verify(copies[i & 1 ? 1 : 0][at]!.slice(7), { scope: 'mcp:read', memo: memos[at] }), isLimited)
}

const works: Readonly<Record<keyof LimitCosts, (i: number) => void>> = {
  plain: (i) => { other(plain, i, false) },
  limited: (i) => { other(limited, i, true) },
  plainSame: (i) => { same(plain, i, false) },
  limitedSame: (i) => { same(limited, i, true) }
}

async function costs (): Promise<LimitCosts> {
  for (const { copies: [texts] } of [plain, limited]) {
    for (const text of texts) await keys.verifier.verify(text.slice(7))
  }
  return await loopCosts(works, { rounds: 30, warmUpRounds: 10 })
}

serveCosts(costs)
