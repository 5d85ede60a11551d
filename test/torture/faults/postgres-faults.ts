import { healMs } from '../fleet.ts'
import type { Fault } from './fault.ts'

export function postgresRestarted (): Fault {
  return {
    kind: 'Postgres stopped and started again',
    holds: ['postgres'],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'Postgres stopped', mayBeUnavailable: true })
      await fleet.postgres.stop()
      return async () => {
        await fleet.postgres.start()
        end(healMs)
      }
    }
  }
}

export function postgresKilled (): Fault {
  return {
    kind: 'Postgres killed and started again',
    holds: ['postgres'],
    lasts: 'short',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'Postgres killed', mayBeUnavailable: true })
      await fleet.postgres.kill()
      return async () => {
        await fleet.postgres.start()
        end(healMs)
      }
    }
  }
}

/** PgBouncer in transaction mode, with everybody's connections. */
export function poolerKilled (): Fault {
  return {
    kind: 'the pooler killed and started again',
    holds: ['postgres'],
    lasts: 'short',
    only: ['pooler'],
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'pooler killed', mayBeUnavailable: true })
      await fleet.pooler?.kill()
      return async () => {
        await fleet.pooler?.start()
        end(healMs)
      }
    }
  }
}

export function postgresFrozen (): Fault {
  return {
    kind: 'Postgres frozen',
    holds: ['postgres'],
    lasts: 'long',
    async strike (fleet) {
      const end = fleet.troubles.begin({ kind: 'postgres', name: 'Postgres frozen', mayBeUnavailable: true })
      fleet.postgres.pause()
      return async () => {
        fleet.postgres.resume()
        end(healMs)
      }
    }
  }
}
