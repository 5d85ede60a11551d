import { setTimeout as pause } from 'node:timers/promises'

interface Asking {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly tokens: readonly string[]
  /** Between the first requests with two tokens. */
  readonly everyMs: number
  /** Requests with one token at most. */
  readonly triesMax: number
  /** Between two of them, in the mean. */
  readonly againMs: number
}

export interface ColdAnswers {
  /** How many requests it took until each token was answered 200; `undefined`: it never was. */
  readonly tries: ReadonlyArray<number | undefined>
  /** From the first request with a token to its 200, for those that had one. */
  readonly waitedMs: readonly number[]
}

/** Presents tokens at a slow rate, as a client of each would that tries again when it is told to. */
export async function askCold (asking: Asking): Promise<ColdAnswers> {
  const answers = await Promise.all(asking.tokens.map(async (token, i) => {
    await pause(i * asking.everyMs)
    return await askUntilGood(token, asking)
  }))
  return {
    tries: answers.map((answer) => answer?.tries),
    waitedMs: answers.flatMap((answer) => answer === undefined ? [] : [answer.waitedMs])
  }
}

async function askUntilGood (token: string, { url, headers, triesMax, againMs }: Asking) {
  const start = performance.now()
  for (let tries = 1; tries <= triesMax; tries++) {
    // At random: places for those who wait are given out at a fixed beat, and who keeps to it would always come too late.
    if (tries > 1) await pause(againMs * (0.5 + Math.random()))
    const response = await fetch(url, { headers: { ...headers, authorization: `Bearer ${token}` } })
    await response.arrayBuffer()
    if (response.status === 200) return { tries, waitedMs: performance.now() - start }
    if (response.status !== 429) throw new Error(`A key that exists was answered ${response.status}.`)
  }
  return undefined
}
