import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { keepShapes } from '../../src/engine/kept-shapes.ts'
import { compiledCode } from '../support/built.ts'

const run = promisify(execFile)
const dist = (file: string) => JSON.stringify(new URL(`../../dist/engine/${file}`, import.meta.url).href)

/** What a program prints that may collect garbage, and may ask V8 about its objects. */
async function printed (source: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--expose-gc', '--allow-natives-syntax', '--input-type=module', '--eval', `${helpers}\n${source}`], { env: { ...process.env, ...compiledCode() } })
  return stdout.trim()
}

const helpers = `
  const sleep = async (ms) => { await new Promise((resolve) => { setTimeout(resolve, ms) }) }
  const idle = async () => {
    for (let i = 0; i < 8; i++) {
      gc()
      await sleep(5)
    }
  }
  const openEngine = async () => {
    const { createKeys } = await import(${dist('open-keys.js')})
    await createKeys({ databaseUrl: 'postgres://127.0.0.1:1/none' }).close()
  }`

t.test('one object of each kind is kept: a request, a response, and one of process.nextTick', async (t) => {
  const kept = keepShapes()
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.strictSame(kept.map(({ constructor: { name } }) => name), ['IncomingMessage', 'ServerResponse', 'Object'])
  t.strictSame(Object.keys(kept[2]!), ['callback', 'args'])
  keepShapes()
  await new Promise<void>((resolve) => { process.nextTick(resolve) })
  t.equal(kept.length, 3, 'once is enough')
})

t.test('an engine keeps the shape that ticks have after the process has idled', async (t) => {
  t.equal(await printed(`
    const { executionAsyncResource } = await import('node:async_hooks')
    const { keepShapes } = await import(${dist('kept-shapes.js')})
    await openEngine()
    const ticks = async (count) => { for (let i = 0; i < count; i++) await new Promise((resolve) => { process.nextTick(resolve) }) }
    await ticks(50_000)
    await idle()
    await ticks(50_000)
    const kept = keepShapes()[2]
    process.nextTick((unused) => { console.log(kept !== undefined && %HaveSameMap(kept, executionAsyncResource())) }, 1)`), 'true')
})

t.test('however many requests came before the process idled, those after it are fast objects in a process that has an engine, and not in every one that has none', async (t) => {
  // V8 decides by the first seven or so how large such an object is.
  const counts = [4, 5, 6, 7]
  const areFast = async (count: number, before: string) => await printed(`
    const { createServer } = await import('node:http')
    ${before}
    let answer = 'none'
    const server = createServer((request, response) => {
      answer = %HasFastProperties(request) && %HasFastProperties(response)
      response.end('{}')
    })
    server.listen(0, '127.0.0.1', async () => {
      const ask = async () => await (await fetch('http://127.0.0.1:' + server.address().port + '/')).text()
      for (let i = 0; i < ${count}; i++) await ask()
      await idle()
      for (let i = 0; i < 20; i++) await ask()
      console.log(answer)
      process.exit()
    })`)
  for (const count of counts) t.equal(await areFast(count, 'await openEngine()'), 'true', `${count} requests before`)
  const without = []
  for (const count of counts) without.push(await areFast(count, ''))
  t.ok(without.includes('false'), `without an engine: ${without.join()}`)
})
