import { execFileSync } from 'node:child_process'
import t from 'tap'
import { youngGeneration } from './young-generation.ts'

// 30 MB that are kept until the end, as what a program loads is, and how often V8 has collected meanwhile.
const program = `
  const { PerformanceObserver } = require('node:perf_hooks')
  let collections = 0
  new PerformanceObserver((list) => { collections += list.getEntries().length }).observe({ entryTypes: ['gc'] })
  const kept = []
  for (let i = 0; i < 300_000; i++) kept.push({ i, text: [i, i, i] })
  setTimeout(() => { console.log(kept.length > 0 && collections) }, 50)`
const collections = (...args: readonly string[]) => Number(execFileSync(process.execPath, [...args, '-e', program], { encoding: 'utf8' }))

t.test('a process that keeps what it allocates collects nothing with the larger young generation, and again and again without it', async (t) => {
  t.equal(collections(...youngGeneration), 0)
  t.ok(collections() > 2)
})
