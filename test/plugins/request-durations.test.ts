import { Histogram, Registry } from 'prom-client'
import t from 'tap'
import { requestDurations } from '../../src/plugins/request-durations.ts'

t.test('a scrape reads as that of a Histogram of prom-client does that has seen the same requests', async (t) => {
  const reference = new Registry()
  const durations = requestDurations()
  const scrape = () => [...durations.parts()].join('')
  const observed = ['forward', 'a "route" with \\ and\na line'].flatMap((route) => [200, 401, 'none'].flatMap((status) => ['GET', 'POST'].flatMap((method) =>
    [0, 0.5, 1, 1.5, 2.5, 7, 10, 99, 250, 10_000, 10_001].map((ms) => ({ route, status, method, ms })))))
  for (const { route, status, method, ms } of observed) {
    durations.of(method, route, status).note(ms)
    // What was written for an earlier scrape is not shown again.
    scrape()
  }
  const text = scrape()
  const [, help = ''] = /^# HELP \w+ (.+)$/m.exec(text) ?? []
  const histogram = new Histogram({
    name: durations.names[0]!,
    help,
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [reference]
  })
  for (const { route, status, method, ms } of observed) histogram.observe({ method, route, status: String(status) }, ms / 1000)
  const linesOf = (scraped: string) => scraped.split('\n').map((line) => /_sum\{/.test(line) ? line.replace(/[\d.]+$/, (sum) => Number(sum).toFixed(6)) : line).sort()
  t.strictSame(linesOf(text), linesOf(await reference.metrics()))
  t.match(text, /_bucket\{le="\+Inf",/)
  for (let route = 0; route < 200; route++) durations.of('GET', `/${route}`, 200).note(1)
  const parts = [...durations.parts()].map(String)
  t.equal(parts.join('').match(/_count\{/g)?.length, 212)
  t.ok(parts.every((part) => part.split('\n').length <= 15 + 1), 'no part is long: requests get their turn in between')
})
