import { createSign, generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { silentLogger } from '../../src/core/logger.ts'
import { GithubKeys } from '../../src/http/github-keys.ts'

const minuteMs = 60_000
const hourMs = 3_600_000

/** Keys in a file that may be away, and a clock that is set by hand. */
function setup (t: Test) {
  const source = join(t.testdir(), 'keys.json')
  const pairs = new Map<string, ReturnType<typeof newPair>>()
  const pairOf = (name: string) => {
    if (!pairs.has(name)) pairs.set(name, newPair())
    return pairs.get(name)!
  }
  const publish = (...names: string[]) => {
    writeFileSync(source, JSON.stringify({ public_keys: names.map((name) => ({ key_identifier: name, key: pairOf(name).publicKey.export({ type: 'spki', format: 'pem' }), is_current: true })) }))
  }
  const time = { now: 1e6 }
  const warnings: object[] = []
  const keys = new GithubKeys({ source, clock: { monotonicMs: () => time.now }, log: { ...silentLogger, warn: (fields: object) => { warnings.push(fields) } } })
  const body = Buffer.from('[{"token":"x","type":"y"}]')
  /** What is said of a report that the key of that name has signed; `away`: nobody can say. */
  const ask = async (name: string) => {
    const signature = createSign('SHA256').update(body).sign(pairOf(name).privateKey, 'base64')
    return await keys.hasSigned(body, { identifier: name, signature }).catch((error: { code: string }) => error.code === 'unavailable' ? 'away' : Promise.reject(error))
  }
  return { publish, ask, time, warnings, breakFile: () => { writeFileSync(source, 'no keys') }, source }
}

function newPair () {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

t.test('keys are read anew where a report names one that is not known, once a minute at most', async (t) => {
  const { publish, ask, time } = setup(t)
  publish('old')
  t.equal(await ask('old'), true)
  publish('old', 'new')
  t.equal(await ask('new'), false)
  time.now += minuteMs - 1
  t.equal(await ask('new'), false, 'whoever invents names causes no more than one read a minute')
  time.now += 1
  t.equal(await ask('new'), true)
  t.equal(await ask('old'), true)
})

t.test('a key that GitHub has taken from its list signs nothing any more after an hour', async (t) => {
  const { publish, ask, time } = setup(t)
  publish('old')
  t.equal(await ask('old'), true)
  publish('new')
  time.now += hourMs - 1
  t.equal(await ask('old'), true)
  time.now += 1
  t.equal(await ask('old'), false)
  t.equal(await ask('new'), true)
})

t.test('while the list cannot be read, known keys are good for a day, others are not known to be wrong, and it is read again', async (t) => {
  const { publish, ask, time, warnings, breakFile } = setup(t)
  breakFile()
  t.equal(await ask('one'), 'away')
  publish('one')
  t.equal(await ask('one'), true, 'the first list is waited for by nobody')
  breakFile()
  time.now += hourMs
  t.equal(await ask('one'), true)
  t.equal(await ask('two'), 'away')
  t.equal(warnings.length, 2, 'two reports, one read')
  time.now += 23 * hourMs - 1
  t.equal(await ask('one'), true)
  time.now += 1
  t.equal(await ask('one'), 'away')
  publish('two')
  t.equal(await ask('two'), 'away', 'a minute has to pass')
  time.now += minuteMs
  t.equal(await ask('two'), true)
  t.equal(await ask('one'), false)
})

t.test('of a list only P-256 keys count', async (t) => {
  const { ask, source, publish } = setup(t)
  publish('one')
  const { public_keys: [one] } = JSON.parse(readFileSync(source, 'utf8')) as { public_keys: object[] }
  const other = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ type: 'spki', format: 'pem' })
  writeFileSync(source, JSON.stringify({ public_keys: [{ key_identifier: 'other', key: other }, { key_identifier: 7, key: other }, one] }))
  t.equal(await ask('one'), true)
  t.equal(await ask('other'), false)
})
