import t from 'tap'
import { unavailable } from '../../src/core/errors.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { bootDatabase } from '../../src/db/boot.ts'

const refused = () => unavailable('The database cannot be reached.', new Error('No answer within 3000 ms.'))

function setup (outcomes: Array<Error | 'opened'>) {
  const calls: string[] = []
  const lines: string[] = []
  const stopping = new AbortController()
  const booted = bootDatabase({
    migrate: async () => { calls.push('migrate') },
    open: async () => {
      calls.push('open')
      const outcome = outcomes.shift() ?? refused()
      if (outcome instanceof Error) throw outcome
      return outcome
    },
    log: { ...silentLogger, warn: (fields, message) => { lines.push(`${JSON.stringify(fields)} ${message}`) } },
    signal: stopping.signal
  })
  return { booted, calls, stopping, lines }
}

t.test('a database that goes away between the migrations and the opening is waited for', async (t) => {
  const { booted, calls } = setup([refused(), 'opened'])
  t.equal(await booted, 'opened')
  t.same(calls, ['migrate', 'open', 'migrate', 'open'])
})

t.test('each cause of waiting is told once, not at every try', async (t) => {
  const full = Object.assign(new Error('sorry, too many clients already'), { code: '53300' })
  const { booted, lines } = setup([full, full, refused(), 'opened'])
  t.equal(await booted, 'opened')
  t.same(lines, [
    '{"code":"53300"} Postgres has no free connection: raise max_connections on the server (or the role’s CONNECTION LIMIT), or lower DATABASE_CONNECTIONS_MAX or the number of replicas; trying again every second',
    '{"code":"no answer"} Postgres cannot be reached; trying again every second'
  ])
})

t.test('what waiting does not mend is told at once', async (t) => {
  const wrong = setup([new TypeError('wrong')])
  await t.rejects(wrong.booted, { name: 'TypeError' })
  t.same(wrong.calls, ['migrate', 'open'])
})

t.test('stopping ends the waiting', async (t) => {
  const { booted, stopping } = setup([])
  stopping.abort(new Error('stopping'))
  await t.rejects(booted)
})
