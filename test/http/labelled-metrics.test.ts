import { Counter, Registry } from 'prom-client'
import t from 'tap'
import { LabelledCounter } from '../../src/http/labelled-metrics.ts'

t.test('a counter reads as that of prom-client does that has counted the same', async (t) => {
  const reference = new Registry()
  const options = { name: 'some_total', help: 'Of this test.' }
  const theirs = new Counter({ ...options, labelNames: ['upstream', 'method', 'decision'], registers: [reference] })
  const ours = new LabelledCounter({ ...options, labels: ['upstream', 'method', 'decision'] })
  const linesOf = (scraped: string) => scraped.trim().split('\n').sort()
  const scrape = () => [...ours.parts()].join('')
  t.strictSame(linesOf(scrape()), linesOf(await reference.metrics()), 'without any series')
  for (let i = 0; i < 500; i++) {
    const [upstream, method, decision] = [['a', 'b', 'a "name"\\'][i % 3]!, `method-${i % 7}`, `decision-${i % 11}`] as const
    theirs.inc({ upstream, method, decision })
    ours.of(upstream, method, decision).add()
  }
  t.strictSame(linesOf(scrape()), linesOf(await reference.metrics()))
})
