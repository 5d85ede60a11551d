import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import { answer, serve } from './serve.ts'

const app = Fastify()

// HOOK=header: the least that any plugin for bearer tokens does, and so the ceiling of ours.
if (process.env['HOOK'] === 'header') {
  app.addHook('onRequest', function readHeader (request, reply, done) {
    if (request.headers.authorization === undefined) reply.code(401).send()
    else done()
  })
}

// SPIN_US: does nothing for so long. What it costs beyond that is what the machine adds to any work of that length.
const spinMs = Number(process.env['SPIN_US'] ?? 0) / 1000
if (spinMs > 0) {
  app.addHook('onRequest', function spin (_request, _reply, done) {
    const end = performance.now() + spinMs
    while (performance.now() < end);
    done()
  })
}

// HOOK=fields: two header fields as those of a limit, which are always the same. No limit can cost less.
if (process.env['HOOK'] === 'fields') {
  app.addHook('onRequest', function addFields (_request, reply, done) {
    reply.header('ratelimit', '"key";r=999999;t=1').header('ratelimit-policy', '"key";q=1000000;w=1')
    done()
  })
}

app.get('/', (_request, reply) => { reply.send(answer) })
app.post('/', (_request, reply) => { reply.send(answer) })

// HAS_IDLED: Node has compiled what it does at each tick, and has collected garbage while there was nothing to do, as it does by chance in any process.
const forgets = process.env['HAS_IDLED'] === '1'
if (forgets) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  for (let i = 0; i < 100_000; i++) await new Promise<void>((resolve) => { process.nextTick(resolve) })
  for (let i = 0; i < 8; i++) {
    collect()
    await sleep(20)
  }
}

await serve(app, { forgets })
