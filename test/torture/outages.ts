import { setTimeout as sleep } from 'node:timers/promises'
import { postgresFrozen, postgresKilled } from './faults/postgres-faults.ts'
import { redisKilled } from './faults/redis-faults.ts'
import type { Fleet } from './fleet.ts'
import type { Recorder, Verification } from './recorder.ts'

export interface RedisOutage {
  readonly seconds: number
  readonly verifications: number
  /** 503, lost or anything else that is neither an accept nor a refusal. */
  readonly notAnswered: number
  readonly healedMs: number
}

export interface PostgresOutage {
  readonly how: 'killed' | 'frozen'
  /** Of keys that every replica had cached, sent and answered within D - P of the outage. */
  readonly within: { readonly verifications: number, readonly notAccepted: number }
  /** Sent when no window could be open any more. */
  readonly beyond: { readonly verifications: number, readonly accepted: number, readonly refused: number, readonly slowestMs: number }
  readonly healedMs: number
}

const askEveryMs = 8
/** Of the process that asks: the outage is noted before it begins, the answer after it has come. */
const slackMs = 60

/** Redis killed for so long: what it costs. */
export async function redisOutage (fleet: Fleet, seconds: number): Promise<RedisOutage> {
  const from = performance.now()
  const heal = await redisKilled().strike(fleet)
  await sleep(seconds * 1000)
  const until = performance.now()
  await heal()
  const healedMs = await fleet.untilHealed()
  await fleet.lookAgain()
  const seen = sentBetween(fleet.recorder, from, until)
  return { seconds, verifications: seen.length, notAnswered: seen.filter(({ status }) => status !== 200 && status !== 401).length, healedMs }
}

/** Postgres away for longer than a trust window: cached keys go on until the window ends, and then nothing is accepted or refused. */
export async function postgresOutage (fleet: Fleet, how: 'killed' | 'frozen'): Promise<PostgresOutage> {
  const { windowMs } = fleet
  const renewalMs = Math.min(500, Math.max(100, windowMs / 20))
  const cached = new Set((await cachedKeys(fleet)).map(({ index }) => index))
  const from = performance.now()
  const heal = await (how === 'killed' ? postgresKilled() : postgresFrozen()).strike(fleet)
  const away = performance.now()
  await ask(fleet, [...cached], away + windowMs + 1500)
  const until = performance.now()
  await sleep(1000)
  await heal()
  const healedMs = await fleet.untilHealed()
  await fleet.lookAgain()
  const seen = sentBetween(fleet.recorder, from, until)
  const within = seen.filter((one) => cached.has(one.key) && one.answeredAt < from + windowMs - renewalMs - slackMs)
  const beyond = seen.filter((one) => one.sentAt > away + windowMs)
  return {
    how,
    within: { verifications: within.length, notAccepted: within.filter(({ status }) => status !== 200).length },
    beyond: {
      verifications: beyond.length,
      accepted: beyond.filter(({ status }) => status === 200).length,
      refused: beyond.filter((one) => cached.has(one.key) && (one.status === 401 || one.status === 403)).length,
      slowestMs: Math.max(0, ...beyond.map(({ sentAt, answeredAt }) => answeredAt - sentAt))
    },
    healedMs
  }
}

async function cachedKeys (fleet: Fleet) {
  const keys = await fleet.churn.keys(20)
  const from = fleet.recorder.size
  for (let round = 0; round < 3; round++) {
    for (const client of fleet.clients) for (const key of keys) client.verify(key, 64)
    await sleep(100)
  }
  const accepted = new Map<number, number>()
  for (let index = from; index < fleet.recorder.size; index++) {
    const { key, status } = fleet.recorder.at(index)
    if (status === 200) accepted.set(key, (accepted.get(key) ?? 0) + 1)
  }
  return keys.filter(({ index }) => (accepted.get(index) ?? 0) >= 3 * fleet.clients.length)
}

async function ask (fleet: Fleet, keys: readonly number[], until: number): Promise<void> {
  // How often it draws depends on time.
  const random = fleet.random.fork()
  while (performance.now() < until) {
    random.pick(fleet.clients).verify(fleet.ledger.at(random.pick(keys)), 2)
    await sleep(askEveryMs)
  }
}

function sentBetween (recorder: Recorder, from: number, until: number): Verification[] {
  const seen: Verification[] = []
  for (let index = 0; index < recorder.size; index++) {
    const one = recorder.at(index)
    if (one.sentAt >= from && one.sentAt <= until) seen.push(one)
  }
  return seen
}
