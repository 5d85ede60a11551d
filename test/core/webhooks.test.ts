import t, { type Test } from 'tap'
import type { KeyEvent } from '../../src/core/events.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { Webhooks, type Delivery, type SendOutcome, type WebhookStore } from '../../src/core/webhooks.ts'
import { until } from '../support/until.ts'

const event = (id: string) => ({ id, type: 'key.updated' }) as unknown as KeyEvent
const delivery = (id: string, fields: Partial<Delivery> = {}): Delivery => ({ receiver: 'a', place: 1, attempts: 1, isOld: false, event: event(id), ...fields })

/** Deliveries in memory; `told` grows with what was said of them. */
function scripted (due: Delivery[]) {
  const told: string[] = []
  const delays: number[] = []
  const store: WebhookStore = {
    queue: async () => ({ due: [...new Set(due.map(({ receiver }) => receiver))], oldestMs: due.length * 1000, hasMore: false }),
    claim: async ({ receiver, rowsMax }) => due.filter((one) => one.receiver === receiver).slice(0, rowsMax).map((one) => due.splice(due.indexOf(one), 1)[0]!),
    finish: async ({ event: { id } }) => { told.push(`finish ${id}`) },
    postpone: async ({ event: { id } }, delayMs) => {
      told.push(`postpone ${id}`)
      delays.push(delayMs)
    }
  }
  return { store, told, delays }
}

interface Options {
  readonly receivers: Readonly<Record<string, (id: string, signal: AbortSignal) => Promise<SendOutcome>>>
  readonly store: WebhookStore
}

function start (t: Test, { receivers, store }: Options) {
  let skewMs = 0
  const lines: object[] = []
  const log = { ...silentLogger, warn: (fields: object) => { lines.push(fields) }, error: (fields: object) => { lines.push(fields) } }
  const webhooks = new Webhooks({
    store,
    receivers: Object.entries(receivers).map(([id, send]) => ({ id, name: `https://${id}.example`, send: async (event, signal) => await send(event.id, signal) })),
    clock: { monotonicMs: () => performance.now() + skewMs },
    log,
    isStarted: () => true,
    everyMs: 4,
    closeMs: 20
  })
  t.teardown(() => webhooks.close())
  webhooks.start()
  return { webhooks, lines, freeze: (ms: number) => { skewMs += ms } }
}

const confirmed: SendOutcome = { isConfirmed: true }
const refused: SendOutcome = { isConfirmed: false, failure: 'HTTP 500' }

t.test('what is confirmed is finished, what is not is postponed: for some seconds first, then for longer, never for more than an hour and a fifth', async (t) => {
  const due = [delivery('good'), delivery('bad 1'), delivery('bad 5', { attempts: 5 }), delivery('bad 60', { attempts: 60 })]
  const { store, told, delays } = scripted(due)
  const { webhooks, lines } = start(t, { store, receivers: { a: async (id) => id === 'good' ? confirmed : refused } })
  await until(() => told.length === 4)
  t.strictSame(told.sort(), ['finish good', 'postpone bad 1', 'postpone bad 5', 'postpone bad 60'])
  const [first = 0, fifth = 0, last = 0] = delays.sort((a, b) => a - b)
  t.ok(first >= 4000 && first <= 6000, 'the first retry is within 10 seconds')
  t.ok(fifth >= 64_000 && fifth <= 96_000)
  t.ok(last <= 4_320_000)
  t.match(webhooks.stats(), { delivered: 1, failed: 3, givenUp: 0 })
  t.equal(lines.length, 1, 'a receiver that fails is told of once')
})

t.test('a receiver says when to come again, within an hour', async (t) => {
  const { store, told, delays } = scripted([delivery('later'), delivery('never')])
  start(t, { store, receivers: { a: async (id) => ({ isConfirmed: false, failure: 'HTTP 429', retryAfterMs: id === 'later' ? 60_000 : 1e9 }) } })
  await until(() => told.length === 2)
  t.strictSame(delays.sort((a, b) => a - b), [60_000, 3_600_000])
})

t.test('an old event is given up after enough attempts, with a line that names it, and the key goes on', async (t) => {
  const { store, told } = scripted([delivery('old', { isOld: true, attempts: 10 }), delivery('few', { isOld: true, attempts: 9 }), delivery('new', { attempts: 50 })])
  const { webhooks, lines } = start(t, { store, receivers: { a: async () => refused } })
  await until(() => told.length === 3)
  t.strictSame(told.sort(), ['finish old', 'postpone few', 'postpone new'])
  t.equal(webhooks.stats().givenUp, 1)
  t.match(lines.find((fields) => 'eventId' in fields && fields.eventId === 'old'), { receiver: 'https://a.example', failure: 'HTTP 500' })
})

t.test('a receiver that does not answer keeps no other one waiting, nor what comes after it at the same one', async (t) => {
  const due = [delivery('hangs')]
  const { store, told } = scripted(due)
  const { webhooks } = start(t, {
    store,
    receivers: {
      a: async (id, signal) => id === 'hangs' ? await new Promise((resolve) => { signal.addEventListener('abort', () => { resolve(refused) }) }) : confirmed,
      b: async () => confirmed
    }
  })
  await until(() => due.length === 0)
  due.push(delivery('other key'), delivery('elsewhere', { receiver: 'b' }))
  await until(() => told.length === 2)
  t.strictSame(told.sort(), ['finish elsewhere', 'finish other key'])
  await webhooks.close()
  t.strictSame(told.at(-1), 'postpone hangs', 'it is left to another process when this one stops')
})

t.test('a process that was stopped for a while does not send what another may have taken', async (t) => {
  const due = [delivery('taken')]
  const { store, told } = scripted(due)
  const sent: string[] = []
  const claim = store.claim
  store.claim = async (wanted) => {
    const taken = await claim(wanted)
    if (taken.length > 0) freeze(16_000)
    return taken
  }
  const { freeze } = start(t, { store, receivers: { a: async (id) => { sent.push(id); return confirmed } } })
  await until(() => due.length === 0)
  due.push(delivery('b', { receiver: 'a' }))
  await until(() => due.length === 0)
  await new Promise(setImmediate)
  t.strictSame([sent, told], [[], []])
})

t.test('a database that is away is told of once, and deliveries go on when it is back', async (t) => {
  const { store, told } = scripted([delivery('one')])
  let isAway = true
  const { queue, finish } = store
  store.queue = async (receivers) => {
    if (isAway) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' })
    return await queue(receivers)
  }
  store.finish = async (one) => {
    if (isAway) throw new Error('away')
    await finish(one)
  }
  let looks = 0
  const { lines } = start(t, { store: { ...store, queue: async (receivers) => { looks++; return await store.queue(receivers) } }, receivers: { a: async () => confirmed } })
  await until(() => looks >= 3)
  t.strictSame(lines, [{ failure: 'ECONNREFUSED' }])
  isAway = false
  await until(() => told.length === 1)
})
