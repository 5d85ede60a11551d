import { Counter, Gauge, Registry } from 'prom-client'
import t from 'tap'
import { CollectedMetrics, MetricsRegistry, one, samplesBy } from '../../src/http/metrics-registry.ts'

t.test('metrics write the lines that prom-client writes for them, at each scrape with the values of that moment', async (t) => {
  const tier = 'a "tier" with \\ and\na line'
  const byOutcome = samplesBy('outcome', { tier })
  const labels = { path: 'fast' }
  let [value, readings]: [number | undefined, number] = [1, 0]
  const registry = new MetricsRegistry()
  registry.register(new CollectedMetrics({
    read () {
      readings++
      return { value, hits: value ?? 0 }
    },
    metrics: [
      { name: 'some_total', help: 'Of this test.', samples: ({ hits }) => byOutcome({ hit: hits, miss: 0.25 }) },
      { name: 'some_open', help: 'Of this test.', samples: ({ value }) => one(value) },
      { name: 'some_seconds', help: 'Of this test.', type: 'histogram', samples: ({ hits }) => [{ value: 3, labels, metricName: 'some_seconds_sum' }, { value: hits, labels, metricName: 'some_seconds_count' }] }
    ]
  }))
  for (value of [1, 2e9, undefined, 0]) {
    const reference = new Registry()
    const counter = new Counter({ name: 'some_total', help: 'Of this test.', labelNames: ['tier', 'outcome'], registers: [reference] })
    counter.inc({ tier, outcome: 'hit' }, value ?? 0)
    counter.inc({ tier, outcome: 'miss' }, 0.25)
    const gauge = new Gauge({ name: 'some_open', help: 'Of this test.', registers: [reference] })
    if (value === undefined) gauge.remove()
    else gauge.set(value)
    const scrape = [...registry.parts()].join('')
    const [ours, histogram] = scrape.split('# HELP some_seconds ') as [string, string]
    t.equal(ours.trim(), (await reference.metrics()).replaceAll(/\n\n/g, '\n').trim(), `at ${value}`)
    t.equal(histogram, `Of this test.\n# TYPE some_seconds histogram\nsome_seconds_sum{path="fast"} 3\nsome_seconds_count{path="fast"} ${value ?? 0}\n`)
  }
  t.equal(readings, 4, 'one reading for all metrics of a scrape')
  t.throws(() => { registry.register(new CollectedMetrics({ read: () => {}, metrics: [{ name: 'some_open', help: 'Again.', samples: () => one(1) }] })) }, /two metrics with the name some_open/)
})
