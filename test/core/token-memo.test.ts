import { inspect } from 'node:util'
import * as fc from 'fast-check'
import t from 'tap'
import { KeysError, unavailable } from '../../src/core/errors.ts'
import type { KeyRecord } from '../../src/core/key-record.ts'
import type { ChangeTarget, Entry } from '../../src/core/lookup.ts'
import { MissBudget } from '../../src/core/miss-budget.ts'
import { OverBudgetQueue } from '../../src/core/over-budget-queue.ts'
import { RateLimiter } from '../../src/core/rate-limiter.ts'
import { RefusalMemory } from '../../src/core/refusal-memory.ts'
import { TokenFormat } from '../../src/core/token.ts'
import { UsageBatcher, type KeyUse } from '../../src/core/usage.ts'
import { Verifier } from '../../src/core/verifier.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { initialState, isOpen, judge, type WindowState } from '../../src/core/window/judge.ts'
import { extendChanges, noChanges } from '../../src/core/window/recent-changes.ts'
import { TokenMemo } from '../../src/core/window/token-memo.ts'
import { MemoryTier } from '../../src/tiers/memory.ts'
import { loadMutant } from '../support/mutant.ts'

type Classes = { readonly TokenMemo: typeof TokenMemo, readonly Verifier: typeof Verifier }

const format = new TokenFormat()
const minted = Array.from({ length: 6 }, () => format.mint())
const connectionCount = 2
const addresses = ['192.0.2.1', '198.51.100.1']

/** One database and what a replica knows of it, and two verifiers over it: with memos and without. */
class World {
  readonly plain: ReturnType<World['stack']>
  readonly remembering: ReturnType<World['stack']>
  readonly memos: TokenMemo[]
  now = 0
  #seq = 0
  #rows: Map<string, KeyRecord>
  #state: WindowState = { ...initialState({ windowMs: 1000, renewalTimeoutMs: 100, rowsMax: 4 }), windowEnd: Infinity, floor: 0 }

  constructor (classes: Classes) {
    this.memos = Array.from({ length: connectionCount }, () => new classes.TokenMemo())
    this.#rows = new Map(minted.map(({ digest }, i) => [digest, {
      id: `key ${i}`,
      digest,
      workspaceId: `w${i % 2}`,
      ownerId: null,
      name: 'n',
      scope: i % 2 === 0 ? 'mcp:read' : 'mcp:write',
      metadata: {},
      createdAt: 0,
      expiresAt: i === 1 ? 3000 : null,
      revokedAt: null,
      limits: i < 3 ? null : { tokenEndsAt: i === 3 ? 2500 : null, allowedCidrs: i === 4 ? ['192.0.2.0/24'] : null, rateLimit: i === 5 ? { requests: 2, windowSeconds: 2 } : null, awaitsFirstUse: false }
    }]))
    this.plain = this.stack(Verifier)
    this.remembering = this.stack(classes.Verifier)
  }

  stack (Class: typeof Verifier) {
    const read = async (digest: string): Promise<Entry | undefined> => {
      const record = this.#rows.get(digest)
      return record && { record, asof: this.#seq, seq: this.#seq }
    }
    const clock = { monotonicMs: () => this.now }
    const memory = new MemoryTier({ under: { find: read, findFresh: read }, entriesMax: 3 })
    const written: KeyUse[] = []
    const usage = new UsageBatcher({ clock, log: silentLogger, record: async ({ uses }) => { written.push(...uses) }, flushEveryMs: 1e9 })
    const verifier = new Class({
      format,
      lookup: memory,
      trust: {
        judge: (entry, now, isFresh) => judge(this.#state, entry, now, isFresh),
        epoch: 0,
        databaseTime: (now) => now,
        opened: async () => { if (!isOpen(this.#state, this.now)) throw unavailable('The window is shut.') }
      },
      clock,
      refusals: new RefusalMemory({ ttlMs: 1000, entriesMax: 2 }),
      budget: new MissBudget({ clock, perMinute: 1000 }),
      overBudget: new OverBudgetQueue(),
      rates: new RateLimiter({ clock, replicas: () => 1 }),
      usage
    })
    return { memory, verifier, usage, written }
  }

  drop (target: ChangeTarget): void {
    for (const { memory, verifier } of [this.plain, this.remembering]) {
      memory.drop(target)
      verifier.forget(target)
    }
  }

  /** As a renewal brings it: log, tail and what is held, all in one turn. */
  change (keys: readonly number[], fields: Partial<KeyRecord>, target: ChangeTarget, action: 'revoke' | 'change'): void {
    for (const key of keys) {
      const { digest } = minted[key]!
      this.#rows.set(digest, { ...this.#rows.get(digest)!, ...fields })
    }
    const { changes, prunedTo } = extendChanges(this.#state.recent, [{ seq: ++this.#seq, target, action }], 4)
    this.#state = { ...this.#state, recent: changes, floor: Math.max(this.#state.floor, prunedTo) }
    this.drop(target)
  }

  /** Another history, in which the newest changes never were: positions of before say nothing. */
  setBack (): void {
    this.#seq = Math.max(0, this.#seq - 3)
    for (const [digest, row] of this.#rows) this.#rows.set(digest, { ...row, revokedAt: row.revokedAt === null ? 0 : null })
    this.#state = { ...this.#state, recent: noChanges, floor: this.#seq }
    this.drop({ kind: 'everything' })
  }

  setOpen (isOpen: boolean): void {
    this.#state = { ...this.#state, windowEnd: isOpen ? Infinity : -Infinity }
  }
}

type Act = (world: World) => Promise<void> | void

async function told (verdict: unknown): Promise<unknown> {
  try {
    return await verdict
  } catch (error) {
    return (error as KeysError).code
  }
}

function presents (key: number, connection: number, scope: number, address: number): Act {
  return async (world) => {
    const { token } = minted[key]!
    const presentation = { scope: ([undefined, 'mcp:read', 'mcp:write'] as const)[scope], from: { ip: addresses[address] } }
    const plain = await told(world.plain.verifier.verify(token, presentation))
    const remembered = await told(world.remembering.verifier.verify(token, { ...presentation, memo: world.memos[connection] }))
    const [is, wants] = [JSON.stringify(remembered), JSON.stringify(plain)]
    if (is !== wants) throw new Error(`With a memo ${is}, without ${wants}.`)
  }
}

const keyTarget = (key: number): ChangeTarget => ({ kind: 'key', digests: [minted[key]!.digest] })
const key = fc.nat({ max: minted.length - 1 })
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 30, arbitrary: fc.tuple(key, fc.nat({ max: connectionCount - 1 }), fc.nat({ max: 2 }), fc.nat({ max: 1 })).map((drawn) => presents(...drawn)) },
  // What a connection does most: the same once more.
  { weight: 30, arbitrary: fc.tuple(key, fc.integer({ min: 2, max: 4 })).map(([key, times]): Act => async (world) => { for (let i = 0; i < times; i++) await presents(key, 0, 1, 0)(world) }) },
  { weight: 6, arbitrary: key.map((key): Act => (world) => { world.change([key], { revokedAt: 0 }, keyTarget(key), 'revoke') }) },
  { weight: 4, arbitrary: key.map((key): Act => (world) => { world.change([key], { expiresAt: world.now + 200 }, keyTarget(key), 'change') }) },
  { weight: 4, arbitrary: key.map((key): Act => (world) => { world.change([key], { scope: 'mcp:read' }, keyTarget(key), 'change') }) },
  { weight: 2, arbitrary: fc.nat({ max: 1 }).map((of): Act => (world) => { world.change([of, of + 2, of + 4], { revokedAt: 0 }, { kind: 'workspace', workspaceId: `w${of}` }, 'revoke') }) },
  { weight: 3, arbitrary: fc.constant<Act>((world) => { world.setBack() }) },
  { weight: 4, arbitrary: fc.boolean().map((isOpen): Act => (world) => { world.setOpen(isOpen) }) },
  { weight: 2, arbitrary: fc.constant<Act>(async (world) => { await Promise.all([world.plain.usage.flush(), world.remembering.usage.flush()]) }) },
  { weight: 12, arbitrary: fc.constantFrom(1, 50, 400, 1100).map((ms): Act => (world) => { world.now += ms }) }
)

/** Throws at the first history in which a memo makes a difference. Answers how many verifications a memo had answered. */
async function compare (classes: Classes, { runs, seed }: { runs: number, seed?: number }): Promise<number> {
  let repeated = 0
  await fc.assert(fc.asyncProperty(fc.array(act, { minLength: 20, maxLength: 60 }), async (acts) => {
    const world = new World(classes)
    const { plain, remembering } = world
    for (const act of acts) await act(world)
    await Promise.all([plain.usage.close(), remembering.usage.close()])
    const [is, wants] = [JSON.stringify(remembering.written), JSON.stringify(plain.written)]
    if (is !== wants) throw new Error(`Uses with a memo ${is}, without ${wants}.`)
    repeated += remembering.verifier.stats().repeated
  }), { numRuns: runs, ...seed === undefined ? {} : { seed }, endOnFailure: true })
  return repeated
}

t.test('with a memo and without, every token gets the same verdict and every use is noted alike, whatever happens', async (t) => {
  t.ok(await compare({ TokenMemo, Verifier }, { runs: 300 }) > 1000, 'and memos had answered')
})

for (const { without, path, find, replace } of [
  { without: 'comparing the tokens', path: 'core/window/token-memo.ts', find: 'if (token !== this.#token) {', replace: 'if (this.#token === undefined) {' },
  { without: 'asking whether anything had to go since', path: 'core/window/token-memo.ts', find: 'generation === this.#generation && ', replace: '' },
  { without: 'the final check', path: 'core/verifier.ts', find: '    const answer = this.#check(entry, presentation, now, false)\n    if (typeof answer !== \'object\') return undefined', replace: '    const answer = this.#accept(entry, presentation, now)' },
  { without: 'forgetting what a change had dropped', path: 'core/verifier.ts', find: '    this.#generation = {}\n', replace: '' },
  { without: 'comparing whose uses are noted', path: 'core/usage.ts', find: ' && noted.keyId === keyId', replace: '' }
] as const) {
  t.test(`without ${without} it makes a difference`, async (t) => {
    const mutant = await loadMutant<Partial<Classes> & { UsageBatcher?: typeof UsageBatcher }>(t, path, { find, replace })
    if (mutant.UsageBatcher !== undefined) return t.ok(mixesUp(mutant.UsageBatcher) && !mixesUp(UsageBatcher))
    await t.rejects(compare({ TokenMemo, Verifier, ...mutant } as Classes, { runs: 300, seed: 1 }), /memo/)
  })
}

function mixesUp (Class: typeof UsageBatcher): boolean {
  const usage = new Class({ clock: { monotonicMs: () => 0 }, log: silentLogger, record: async () => {}, flushEveryMs: 1e9 })
  const one = usage.note('one', 1)
  return usage.note('other', 1, undefined, one) === one
}

t.test('a memo remembers one token, for a moment, of one verifier, and shows nothing of it', async (t) => {
  const [held, generation] = [{ entry: 1 }, {}]
  const memo = new TokenMemo<object>()
  t.equal(memo.recall('a', 0, generation), undefined)
  memo.keep('a', held, 0, generation)
  t.equal(memo.recall('a', 999, generation), held)
  t.equal(memo.recall('a', 1000, generation), undefined, 'after a second the table is asked')
  memo.keep('a', held, 1000, generation)
  t.equal(memo.recall('a', 1001, {}), undefined, 'another verifier, or something was dropped')
  t.notMatch(inspect(memo, { showHidden: true, depth: Infinity }) + JSON.stringify(memo), /'a'|"a"|entry/)
  t.equal(memo.recall('b', 1001, generation), undefined)
  t.equal(memo.recall('a', 1001, generation), undefined, 'another token makes it forget')
})

t.test('a connection that brings another token each time is left alone for a while', async (t) => {
  const [held, generation] = [{}, {}]
  const memo = new TokenMemo<object>()
  const send = (token: string) => {
    const found = memo.recall(token, 0, generation)
    if (found === undefined) memo.keep(token, held, 0, generation)
    return found
  }
  for (let i = 0; i < 5; i++) send(`token ${i}`)
  const answers = Array.from({ length: 100 }, () => send('one') === held)
  t.equal(answers.indexOf(true), 60, 'then the same token is remembered again')
  t.notOk(answers.slice(60).includes(false))
})
