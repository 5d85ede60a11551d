import { Registry } from 'prom-client'
import t from 'tap'
import { CollectedMetric, one, samplesBy } from '../../src/plugins/collected-metrics.ts'

t.test('a metric writes the lines that prom-client writes for it, at each scrape with the values of that moment', async (t) => {
  const registry = new Registry()
  const byOutcome = samplesBy('outcome', { tier: 'a "tier" with \\ and\na line' })
  const [sum, count] = [{ path: 'fast' }, { path: 'fast' }]
  let value: number | undefined = 1
  const metrics = [
    new CollectedMetric({ name: 'some_total', help: 'Of this test.', read: () => byOutcome({ hit: value ?? 0, miss: 0.25 }) }),
    new CollectedMetric({ name: 'some_open', help: 'Of this test.', read: () => one(value) }),
    new CollectedMetric({
      name: 'some_seconds',
      help: 'Of this test.',
      type: 'histogram',
      read: () => [{ value: 3, labels: sum, metricName: 'some_seconds_sum' }, { value: value ?? 0, labels: count, metricName: 'some_seconds_count' }]
    })
  ]
  for (const metric of metrics) metric.register(registry)
  for (value of [1, 2e9, undefined, 0]) {
    for (const metric of metrics) t.equal(metric.text(), `${await registry.getSingleMetricAsString(metric.name)}\n`, `${metric.name} at ${value}`)
  }
  t.match(metrics[0]!.text(), /^# TYPE some_total counter$/m)
  t.match(metrics[1]!.text(), /^# TYPE some_open gauge\nsome_open 0$/m)
  value = undefined
  t.equal(metrics[1]!.text(), '# HELP some_open Of this test.\n# TYPE some_open gauge\n', 'a gauge that has no value yet is absent')
})
