export interface Throughput {
  readonly perSecond: number
  readonly ms: readonly number[]
}

interface AtATimeOptions {
  readonly workers: number
  readonly seconds: number
  /** Does one, and resolves to its milliseconds; `undefined`: there are no more. */
  readonly one: () => Promise<number | undefined>
}

/** How many in a second when so many are always under way, each worker beginning its next when the one before is answered. */
export async function atATime ({ workers, seconds, one }: AtATimeOptions): Promise<Throughput> {
  const ms: number[] = []
  const start = performance.now()
  const end = start + seconds * 1000
  await Promise.all(Array.from({ length: workers }, async () => {
    while (performance.now() < end) {
      const took = await one()
      if (took === undefined) return
      ms.push(took)
    }
  }))
  return { perSecond: ms.length / (performance.now() - start) * 1000, ms }
}
