import { setTimeout as sleep } from 'node:timers/promises'
import { inTime } from './deadline.ts'
import { allFaults } from './faults/all-faults.ts'
import type { Fault, Heal } from './faults/fault.ts'
import type { Fleet } from './fleet.ts'
import { waitOf } from './latencies.ts'

interface Scene {
  readonly names: string
  /** From the end of the last fault (the heal itself done) until every replica was whole again; NaN when one never was. */
  readonly healedMs: number
}

/** Breaks things, alone and in pairs, heals them and looks again. */
export class Director {
  readonly scenes: Scene[] = []
  readonly faultsByKind = new Map<string, number>()
  readonly #fleet: Fleet
  readonly #tell: (line: string) => void

  constructor (fleet: Fleet, tell: (line: string) => void) {
    this.#fleet = fleet
    this.#tell = tell
  }

  /** Every kind once, in an order drawn anew. */
  async everyFaultAlone (goOn = () => true): Promise<void> {
    for (const fault of this.#fleet.random.shuffled(allFaults(this.#fleet.random, this.#fleet.stores))) {
      if (goOn()) await this.play([fault])
    }
  }

  async randomPair (): Promise<void> {
    const { random } = this.#fleet
    const faults = random.shuffled(allFaults(random, this.#fleet.stores))
    const [first] = faults
    const second = faults.find((fault) => first !== undefined && first.holds.every((hold) => !fault.holds.includes(hold)))
    if (first === undefined || second === undefined) return
    // What is done to a replica may need the others' stores to begin with.
    await this.play([first, second].sort((one, other) => Number(ofReplica(other)) - Number(ofReplica(one))))
  }

  /** Strikes one after the other, lets them last, heals them in any order and none behind another, and looks until all is whole. */
  async play (faults: readonly Fault[]): Promise<Scene> {
    const fleet = this.#fleet
    const names = faults.map(({ kind }) => kind).join(' + ')
    const start = performance.now()
    this.#tell(`${names}: begins; ${changes(fleet)}`)
    const heals: Heal[] = []
    for (const fault of faults) {
      this.faultsByKind.set(fault.kind, (this.faultsByKind.get(fault.kind) ?? 0) + 1)
      heals.push(await inTime(`"${fault.kind}" to strike`, this.#stepMs, fault.strike(fleet)))
      await sleep(fleet.random.between(0, 300))
    }
    await sleep(Math.max(...faults.map((fault) => this.#lastingMs(fault))))
    // At the same time: a replica comes back only once its link to Postgres does.
    await Promise.all(heals.map(async (heal, i) => {
      await sleep(heals.length > 1 ? fleet.random.between(0, 300) : 0)
      await inTime(`"${faults[i]?.kind}" to be taken back`, this.#stepMs, heal())
    }))
    const healedMs = await fleet.untilHealed().catch((error: Error) => {
      fleet.faultsFound.push(`after ${names}: ${error.message}`)
      return NaN
    })
    await inTime('a look at every replica', this.#stepMs, fleet.lookAgain())
    const scene = { names, healedMs }
    this.scenes.push(scene)
    this.#tell(`${names}: ${((performance.now() - start) / 1000).toFixed(1)} s, healed in ${healedMs.toFixed(0)} ms; ${this.#state()}`)
    return scene
  }

  #lastingMs ({ lasts }: Fault): number {
    const { random, windowMs } = this.#fleet
    return lasts === 'long' ? waitOf(windowMs) + random.between(300, 1000) : windowMs * random.between(0.2, 0.6)
  }

  /** Longer than any step of a fault, which waits for W some times and has a deadline of its own for each part. */
  get #stepMs (): number {
    return 4 * waitOf(this.#fleet.windowMs) + 120_000
  }

  #state (): string {
    const { checker, recorder } = this.#fleet
    const { 'stale accept': stale, 'false refusal': refused, 'unexcused 503': unavailable } = checker.counts
    return `${recorder.size} verifications, ${stale} stale, ${refused} false refusals, ${unavailable} unexcused 503; ${changes(this.#fleet)}`
  }
}

function changes ({ changes: { pending } }: Fleet): string {
  return `${pending} changes pending`
}

function ofReplica ({ holds }: Fault): boolean {
  return holds.some((hold) => hold.startsWith('replica '))
}
