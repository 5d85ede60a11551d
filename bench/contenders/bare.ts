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
await serve(app)
