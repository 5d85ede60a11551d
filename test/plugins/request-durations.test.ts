import { Histogram, Registry } from 'prom-client'
import t from 'tap'
import { RequestDurations } from '../../src/plugins/request-durations.ts'

t.test('a scrape reads as that of a Histogram of prom-client does that has seen the same requests', async (t) => {
  const [registry, reference] = [new Registry(), new Registry()]
  const durations = new RequestDurations()
  durations.register(registry)
  const observed = ['forward', 'other'].flatMap((route) => [200, 401, undefined].flatMap((status) => ['GET', 'POST'].flatMap((method) =>
    [0, 0.5, 1, 1.5, 2.5, 7, 10, 99, 250, 10_000, 10_001].map((ms) => ({ route, status, method, ms })))))
  for (const { route, status, method, ms } of observed) durations.note(method, route, status, ms)
  const text = await registry.metrics()
  const { help = '' } = (await registry.getMetricsAsJSON())[0] ?? {}
  const histogram = new Histogram({
    name: durations.name,
    help,
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [reference]
  })
  for (const { route, status, method, ms } of observed) histogram.observe({ method, route, status: String(status ?? 'none') }, ms / 1000)
  const linesOf = (scraped: string) => scraped.split('\n').map((line) => /_sum\{/.test(line) ? line.replace(/[\d.]+$/, (sum) => Number(sum).toFixed(6)) : line).sort()
  t.strictSame(linesOf(text), linesOf(await reference.metrics()))
  t.match(text, /_bucket\{le="\+Inf",/)
})
