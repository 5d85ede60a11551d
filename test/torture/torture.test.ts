import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { built } from '../support/built.ts'
import { isLong } from '../support/long.ts'
import { until } from '../support/until.ts'
import type { Finding } from './checker.ts'
import { copyService } from './copy-service.ts'
import { Director } from './director.ts'
import { frozen } from './faults/replica-faults.ts'
import { figuresOf } from './figures.ts'
import { Fleet, healMs } from './fleet.ts'
import { waitOf } from './latencies.ts'
import { postgresOutage, redisOutage } from './outages.ts'

const windowMs = 2000
const [steadyMs, faultsMs, redisAwayS] = isLong ? [3000, 60_000, 3] : [1000, 5000, 2]
const verificationsPerSecond = isLong ? 400 : 250
/** Of each kind that the test is about. */
const verificationsLeast = 2000

t.setTimeout(240_000)

t.test('three replicas on real stores keep the promise under faults drawn anew', async (t) => {
  const seed = Number(process.env['TORTURE_SEED'] ?? Date.now() % 2 ** 31)
  t.comment(`seed ${seed}`)
  const fleet = await Fleet.start(t, { main: isLong ? copyService(t) : built('main'), seed, windowMs, verificationsPerSecond, changesPerSecond: 6 })
  const director = new Director(fleet, (line) => { t.comment(line) })
  await sleep(steadyMs)
  const redis = [await redisOutage(fleet, redisAwayS)]
  const postgres = [await postgresOutage(fleet, 'killed')]
  // As many as fit, in an order drawn anew. All of them are in `npm run torture`.
  const end = performance.now() + faultsMs
  await director.play([frozen(1)])
  await director.everyFaultAlone(() => performance.now() < end)
  const { checker, recorder } = fleet
  await until(() => checker.look().sentAfterReturn > verificationsLeast && recorder.repeated > verificationsLeast).catch(() => {})
  await fleet.settle()
  for (const line of figuresOf(fleet, director, { redis, postgres })) t.comment(line)

  const isBusy = ({ kind }: Finding) => kind === 'unexcused 503'
  t.strictSame(checker.findings.filter((finding) => !isBusy(finding)).map(({ text }) => text), [], 'no stale accept, no false refusal, no unexpected answer')
  // A replica that gets no processor time for a whole window says that it does not know. The long run allows none.
  t.ok(checker.counts['unexcused 503'] <= recorder.size / 200, `hardly a 503 where nothing excuses one: ${checker.findings.find(isBusy)?.text ?? 'none'}`)
  t.strictSame(fleet.faultsFound, [], 'every replica ended in order and healed')
  t.strictSame(fleet.changes.surprises, [], 'management answers what the contract says')
  t.equal(fleet.changes.pending, 0, 'every revoke returned')
  t.ok(checker.sentAfterReturn > verificationsLeast, 'thousands of verifications were sent after a returned revoke')
  t.ok(recorder.repeated > verificationsLeast, 'and thousands over connections that had sent the same token before')
  // Five times what the long run is held to, and what follows as generously: a busy machine is no fault of the service.
  for (const { names, healedMs } of director.scenes) t.ok(healedMs <= 5 * healMs, `healed by itself, without a restart, within 10 s after: ${names}`)
  for (const { verifications, notAnswered } of redis) t.match({ verifications: verifications > 100, notAnswered }, { verifications: true, notAnswered: 0 }, 'Redis down costs no verification')
  for (const { within, beyond } of postgres) {
    t.match({ asked: within.verifications > 20, ...within }, { asked: true, notAccepted: 0 }, 'Postgres down for less than D - P costs no verification of a cached key')
    t.match({ asked: beyond.verifications > 20, ...beyond }, { asked: true, accepted: 0, refused: 0 }, 'longer is never an accept and never a refusal')
    t.ok(beyond.slowestMs <= 5000, `and answered soon: ${beyond.slowestMs} ms`)
  }
  const slowest = fleet.latencies.of({ situation: 'replica dead, frozen or cut' })
  t.ok(slowest.count > 0 && slowest.max <= waitOf(windowMs) + 3000, `a dead, frozen or cut replica holds a revoke back for W and no longer: ${slowest.max} ms`)
})
