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

app.get('/', (_request, reply) => { reply.send(answer) })
await serve(app)
