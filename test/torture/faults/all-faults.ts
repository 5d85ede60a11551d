import type { Stores } from '../fleet.ts'
import type { Random } from '../random.ts'
import type { Fault } from './fault.ts'
import { columnTypeChanged, copiedBeside, ledToStandby, promoted, restoredRunning, restoredStopped } from './history-faults.ts'
import { farAway, postgresAnswersDelayed, postgresAnswersLateThenCut, postgresAnswersSlow, postgresHeld, postgresRefused, redisHeld, redisWritesDelayed, subscriberHeld } from './link-faults.ts'
import { poolerKilled, postgresFrozen, postgresKilled, postgresRestarted } from './postgres-faults.ts'
import { redisFailedOver, redisFlushed, redisFromOldDump, redisFrozen, redisKilled, redisPoisoned } from './redis-faults.ts'
import { frozen, joining, killed, revokerKilled, terminated, twoRevokers } from './replica-faults.ts'

const joinerPlace = 4

/** One of every kind, each at a place drawn anew. */
export function allFaults (random: Random, stores: Stores): Fault[] {
  const place = () => 1 + random.below(3)
  const [one = 1, other = 2] = random.shuffled([1, 2, 3])
  const faults = [
    frozen(place()), killed(place()), terminated(place()), joining(joinerPlace), revokerKilled(place()), twoRevokers(one, other),
    redisKilled(), redisFromOldDump(), redisFlushed(), redisFrozen(), redisPoisoned(),
    redisHeld(place()), subscriberHeld(place()), redisWritesDelayed(place()),
    postgresRestarted(), postgresKilled(), postgresFrozen(),
    farAway(place()), postgresHeld(place()), postgresRefused(place()), postgresAnswersDelayed(place()), postgresAnswersSlow(place()), postgresAnswersLateThenCut(place()),
    columnTypeChanged(), ledToStandby(), copiedBeside(), restoredStopped(), restoredRunning(), restoredRunning(place()), promoted({ areLost: false }), promoted({ areLost: true }),
    poolerKilled(), redisFailedOver()
  ]
  return faults.filter(({ only }) => only === undefined || only.includes(stores))
}
