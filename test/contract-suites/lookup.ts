import type { Test } from 'tap'
import { KeysError } from '../../src/core/errors.ts'
import type { Digest, KeyRecord } from '../../src/core/key-record.ts'
import type { Entry, Lookup } from '../../src/core/lookup.ts'

export function digest (name: string): Digest {
  return name.padEnd(32, '.') as Digest
}

export function entry (name: string, { asof = 1, ...fields }: Partial<KeyRecord> & { asof?: number } = {}): Entry {
  const record: KeyRecord = {
    id: `id of ${name}`, digest: digest(name), workspaceId: 'w1', ownerId: null, name, scope: 'mcp:read', metadata: {}, createdAt: 1, expiresAt: null, revokedAt: null, limits: null, ...fields
  }
  return { record, asof }
}

interface Asked {
  readonly digest: Digest
  readonly isFresh: boolean
  answer (entry: Entry | undefined): void
  fail (error: Error): void
}

/** A tier that answers when, and what, it is told to. */
export class ScriptedTier implements Lookup {
  readonly asked: Asked[] = []

  find (digest: Digest): Promise<Entry | undefined> {
    return this.#ask(digest, false)
  }

  findFresh (digest: Digest): Promise<Entry | undefined> {
    return this.#ask(digest, true)
  }

  #ask (digest: Digest, isFresh: boolean): Promise<Entry | undefined> {
    return new Promise((resolve, reject) => { this.asked.push({ digest, isFresh, answer: resolve, fail: reject }) })
  }
}

export async function turn (): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** What every tier keeps, and so their composition: `tierOver` puts it over a tier that is scripted. */
export async function lookupContract (t: Test, tierOver: (under: Lookup) => Lookup): Promise<void> {
  const setup = () => {
    const under = new ScriptedTier()
    return { under, tier: tierOver(under) }
  }

  for (const way of ['find', 'findFresh'] as const) {
    await t.test(`${way}: there, certainly not there, and not known are told apart`, async (t) => {
      const { under, tier } = setup()
      const there = tier[way](digest('a'))
      const absent = tier[way](digest('b'))
      const unknown = tier[way](digest('c'))
      await turn()
      under.asked.find((asked) => asked.digest === digest('a'))!.answer(entry('a', { asof: 7 }))
      under.asked.find((asked) => asked.digest === digest('b'))!.answer(undefined)
      under.asked.find((asked) => asked.digest === digest('c'))!.fail(new KeysError('unavailable', { detail: 'away' }))
      t.match(await there, { asof: 7, record: { id: 'id of a', digest: digest('a') } })
      t.equal(await absent, undefined)
      await t.rejects(unknown, { code: 'unavailable' })
    })

    await t.test(`${way}: the record of another key is never handed on`, async (t) => {
      const { under, tier } = setup()
      const found = tier[way](digest('a'))
      await turn()
      under.asked[0]!.answer(entry('b'))
      await t.rejects(found)
    })

    await t.test(`${way}: an outage is not remembered`, async (t) => {
      const { under, tier } = setup()
      const first = tier[way](digest('a'))
      await turn()
      under.asked[0]!.fail(new KeysError('unavailable', { detail: 'away' }))
      await t.rejects(first)
      const second = tier[way](digest('a'))
      await turn()
      under.asked[1]!.answer(entry('a'))
      t.match(await second, { record: { name: 'a' } })
    })
  }

  await t.test('a fresh read is asked of the tier below, after the call, and never joins another', async (t) => {
    const { under, tier } = setup()
    const early = tier.find(digest('a'))
    await turn()
    const fresh = tier.findFresh(digest('a'))
    await turn()
    t.equal(under.asked.length, 2)
    t.equal(under.asked[1]!.isFresh, true)
    under.asked[1]!.answer(entry('a', { asof: 9 }))
    t.equal((await fresh)?.asof, 9)
    under.asked[0]!.answer(entry('a', { asof: 1 }))
    t.equal((await early)?.asof, 1, 'an answer that comes late says how old it is')
  })
}
