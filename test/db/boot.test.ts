import t from 'tap'
import { unavailable } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { bootDatabase } from '../../src/db/boot.ts'

const refused = () => unavailable('The database cannot be reached.', new Error('No answer within 3000 ms.'))

function setup (outcomes: Array<Error | 'opened'>, timeoutMs?: number) {
  const calls: string[] = []
  const stopping = new AbortController()
  const booted = bootDatabase({
    migrate: async () => { calls.push('migrate') },
    open: async () => {
      calls.push('open')
      const outcome = outcomes.shift() ?? refused()
      if (outcome instanceof Error) throw outcome
      return outcome
    },
    log: silentLogger,
    signal: stopping.signal,
    ...timeoutMs === undefined ? {} : { timeoutMs }
  })
  return { booted, calls, stopping }
}

t.test('a database that goes away between the migrations and the opening is waited for', async (t) => {
  const { booted, calls } = setup([refused(), 'opened'])
  t.equal(await booted, 'opened')
  t.same(calls, ['migrate', 'open', 'migrate', 'open'])
})

t.test('one that stays away is given up with a sentence, and what waiting does not mend at once', async (t) => {
  await t.rejects(setup([], 0).booted, { name: 'UnfitDatabase', message: /could not be reached for 0 seconds \(no answer\)/ })
  const wrong = setup([new TypeError('wrong')])
  await t.rejects(wrong.booted, { name: 'TypeError' })
  t.same(wrong.calls, ['migrate', 'open'])
})

t.test('stopping ends the waiting', async (t) => {
  const { booted, stopping } = setup([])
  stopping.abort(new Error('stopping'))
  await t.rejects(booted)
})
