import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { keepTickShape } from '../../src/engine/tick-shape.ts'

const run = promisify(execFile)

t.test('what is kept is an object of process.nextTick', async (t) => {
  const alive = keepTickShape()
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.match(Object.keys(alive[0] ?? {}), ['callback', 'args'])
  keepTickShape()
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.equal(alive.length, 1, 'one is enough')
})

t.test('an engine keeps one, and it has the shape of those that are made after the process has idled', async (t) => {
  const dist = (file: string) => JSON.stringify(new URL(`../../dist/engine/${file}`, import.meta.url).href)
  const source = `
    const { executionAsyncResource } = await import('node:async_hooks')
    const { keepTickShape } = await import(${dist('tick-shape.js')})
    const { createKeys } = await import(${dist('open-keys.js')})
    await createKeys({ databaseUrl: 'postgres://127.0.0.1:1/none' }).close()
    const ticks = async (count) => { for (let i = 0; i < count; i++) await new Promise((resolve) => { process.nextTick(resolve) }) }
    await ticks(50_000)
    for (let i = 0; i < 8; i++) {
      gc()
      await new Promise((resolve) => { setTimeout(resolve, 5) })
    }
    await ticks(50_000)
    const [kept] = keepTickShape()
    process.nextTick((unused) => { console.log(kept !== undefined && %HaveSameMap(kept, executionAsyncResource())) }, 1)`
  const { stdout } = await run(process.execPath, ['--expose-gc', '--allow-natives-syntax', '--input-type=module', '--eval', source])
  t.equal(stdout, 'true\n')
})
