import { Agent, request } from 'node:http'
import type { RateLimit } from '../../src/core/key-record.ts'
import { keysStats } from './keys-stats.ts'

/** How one key is used at several replicas at once. */
export interface SharedLoad {
  readonly urls: readonly string[]
  readonly token: string
  readonly limit: RateLimit
  /** What part of the load each replica gets; together 1. */
  readonly shares: readonly number[]
  /** Requests, in those that the limit allows in the long run. */
  readonly pace: number
  readonly seconds: number
}

export interface LetThrough {
  readonly sent: number
  readonly passed: number
  /** Beside what the limit allows in the time: a bucket, and what flows into it. */
  readonly ofAllowed: number
  /** From when the bucket was empty for the first time: the most and the fewest that passed in any window. */
  readonly mostInWindow: number
  readonly fewestInWindow: number
  /** Settlements that Redis did not answer in time. After one a replica allows the whole limit by itself, until Redis answers again. */
  readonly failures: number
  /** How much a bucket must hold, for the limit alone to have let this through. */
  readonly bucketNeeded: number
}

interface Sent {
  readonly at: number
  readonly status: number
}

const everyMs = 5

/** Sends at a steady pace, and tells what was let through. Rejects on any answer but 200 and 429. */
export async function letThrough ({ urls, token, limit, shares, pace, seconds }: SharedLoad): Promise<LetThrough> {
  const perMs = limit.requests / (limit.windowSeconds * 1000)
  const agent = new Agent({ keepAlive: true, maxSockets: 32 })
  try {
    const failuresBefore = await failuresOf(urls)
    const asked: Array<Promise<Sent>> = []
    const counts = shares.map(() => 0)
    const start = performance.now()
    for (let now = start; now - start < seconds * 1000; now = performance.now()) {
      for (const [i, share] of shares.entries()) {
        for (; counts[i]! < (now - start) * perMs * pace * share; counts[i]!++) asked.push(ask(agent, urls[i]!, token))
      }
      await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
    const sent = (await Promise.all(asked)).sort((one, other) => one.at - other.at)
    return { ...summaryOf(sent, limit), failures: await failuresOf(urls) - failuresBefore }
  } finally {
    agent.destroy()
  }
}

async function failuresOf (urls: readonly string[]): Promise<number> {
  const all = await Promise.all(urls.map((url) => keysStats(url)))
  return all.reduce((sum, { rates }) => sum + rates.failures, 0)
}

function summaryOf (sent: readonly Sent[], { requests, windowSeconds }: RateLimit): Omit<LetThrough, 'failures'> {
  const windowMs = windowSeconds * 1000
  const perMs = requests / windowMs
  const passed = sent.filter(({ status }) => status === 200).map(({ at }) => at)
  const emptyAt = emptyIn(passed, requests, perMs)
  const [first, last] = [sent[0]?.at, sent.at(-1)?.at]
  if (emptyAt === undefined || first === undefined || last === undefined) throw new Error('The limit was never reached.')
  const inWindows = passed.filter((at) => at >= emptyAt && at + windowMs <= last).map((from) => passed.filter((at) => at >= from && at < from + windowMs).length)
  return {
    sent: sent.length,
    passed: passed.length,
    ofAllowed: passed.length / (requests + (last - first) * perMs),
    mostInWindow: Math.max(...inWindows),
    fewestInWindow: Math.min(...inWindows),
    bucketNeeded: bucketOf(passed, perMs)
  }
}

/** When a bucket of this size would have been empty for the first time. A refusal does not say so: a replica that goes beyond its share is refused while it asks for more. */
function emptyIn (passed: readonly number[], requests: number, perMs: number): number | undefined {
  let [left, last] = [requests, passed[0] ?? 0]
  return passed.find((at) => {
    left = Math.min(requests, left + (at - last) * perMs) - 1
    last = at
    return left < 1
  })
}

/** The most that passed in any stretch of time, less what flowed into the bucket in it. */
function bucketOf (passed: readonly number[], perMs: number): number {
  let [most, lowest] = [0, Infinity]
  for (const [i, at] of passed.entries()) {
    lowest = Math.min(lowest, i - at * perMs)
    most = Math.max(most, i + 1 - at * perMs - lowest)
  }
  return most
}

function ask (agent: Agent, url: string, token: string): Promise<Sent> {
  const at = performance.now()
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: { authorization: `Bearer ${token}` } }, (response) => {
      const status = response.statusCode!
      response.resume().on('error', reject).on('end', () => {
        if (status === 200 || status === 429) resolve({ at, status })
        else reject(new Error(`${url} answers ${status}.`))
      })
    }).on('error', reject).end()
  })
}
