import t from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Upkeep, type UpkeepStore } from '../../src/core/upkeep.ts'
import { until } from '../support/until.ts'

const retention = { auditDays: 400, usageDays: 90, callDays: 30, endedKeyDays: 365 }

/** A store whose steps are answered by `answer`; `steps` grows with each. */
function scriptedStore (answer: (step: string, rowsMax: number) => Promise<number>) {
  const steps: string[] = []
  let underWay = 0
  let underWayMost = 0
  const step = (name: string) => async (given: number | { days: number, rowsMax: number }) => {
    const told = typeof given === 'number' ? name : `${name} ${given.days}`
    steps.push(told)
    underWayMost = Math.max(underWayMost, ++underWay)
    try {
      return await answer(told, typeof given === 'number' ? given : given.rowsMax)
    } finally {
      underWay--
    }
  }
  const revokeUnused = async (rowsMax: number) => await step('unused')(rowsMax)
  const store: UpkeepStore = {
    markExpired: step('expired'),
    noticeExpiring: step('expiring'),
    pruneAudit: step('audit'),
    pruneUsage: step('usage'),
    pruneCalls: step('calls'),
    placeEvents: step('places'),
    pruneEvents: step('events'),
    pruneKeys: step('keys'),
    forgetReceivers: step('receivers')
  }
  return { store, revokeUnused, steps, underWayMost: () => underWayMost }
}

t.test('every chore is done by its setting, one statement at a time, and pruning is not repeated at once', async (t) => {
  const { store, revokeUnused, steps, underWayMost } = scriptedStore(async () => 0)
  const upkeep = new Upkeep({ store, revokeUnused, retention, clock: systemClock, log: silentLogger, everyMs: 2 })
  upkeep.start()
  await until(() => steps.filter((step) => step === 'expired').length >= 3)
  await upkeep.close()
  t.strictSame(steps.slice(0, 11), ['expired', 'expiring 1', 'expiring 7', 'unused', 'audit 400', 'usage 90', 'calls 30', 'places', 'events 30', 'keys 365', 'receivers'])
  t.match(upkeep.stats(), { failures: 0 })
  t.ok(upkeep.stats().steps >= 10)
  t.strictSame(steps.filter((step) => step === 'audit 400').length, 1)
  t.equal(underWayMost(), 1)
})

t.test('the audit trail and ended keys are kept for ever unless a setting says otherwise', async (t) => {
  const { store, revokeUnused, steps } = scriptedStore(async () => 0)
  const upkeep = new Upkeep({ store, revokeUnused, retention: { ...retention, auditDays: null, endedKeyDays: null }, clock: systemClock, log: silentLogger, everyMs: 2 })
  upkeep.start()
  await until(() => steps.includes('events 30'))
  await upkeep.close()
  t.notOk(steps.some((step) => step.startsWith('audit') || step.startsWith('keys')))
})

t.test('a chore that is not finished goes on with further steps, and the others get their turn', async (t) => {
  let left = 95
  const { store, revokeUnused, steps } = scriptedStore(async (step, rowsMax) => {
    if (step !== 'usage 90') return 0
    const gone = Math.min(left, rowsMax)
    left -= gone
    return gone
  })
  const upkeep = new Upkeep({ store, revokeUnused, retention, clock: systemClock, log: silentLogger, everyMs: 2, rowsMax: 30 })
  upkeep.start()
  await until(() => left === 0)
  await upkeep.close()
  t.equal(steps.filter((step) => step === 'usage 90').length, 4)
  t.ok(steps.filter((step) => step === 'expired').length >= 4)
})

t.test('a database that is away is told of once, and the work goes on when it is back', async (t) => {
  let isAway = true
  const warnings: object[] = []
  const { store, revokeUnused, steps } = scriptedStore(async () => {
    if (isAway) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
    return 0
  })
  const log = { ...silentLogger, warn: (fields: object) => { warnings.push(fields) } }
  const upkeep = new Upkeep({ store, revokeUnused, retention, clock: systemClock, log, everyMs: 2 })
  upkeep.start()
  await until(() => steps.length >= 4)
  t.strictSame(warnings, [{ failure: 'ECONNREFUSED' }])
  isAway = false
  await until(() => steps.includes('events 30'))
  isAway = true
  await until(() => warnings.length === 2)
  await upkeep.close()
})

t.test('closing waits for the step under way, and none comes after it', async (t) => {
  const answers: Array<(rows: number) => void> = []
  const { store, revokeUnused, steps } = scriptedStore(async () => await new Promise((resolve) => { answers.push(resolve) }))
  const upkeep = new Upkeep({ store, revokeUnused, retention, clock: systemClock, log: silentLogger, everyMs: 2 })
  upkeep.start()
  await until(() => steps.length === 1)
  let isClosed = false
  const closing = upkeep.close().then(() => { isClosed = true })
  await new Promise(setImmediate)
  t.notOk(isClosed)
  answers[0]!(0)
  await closing
  t.strictSame(steps, ['expired'])
})
