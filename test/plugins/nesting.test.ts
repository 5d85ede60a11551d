import Fastify from 'fastify'
import t from 'tap'
import { KeysError } from '../../src/core/errors.ts'
import { meanings } from '../../src/http/problem-document.ts'
import { strictRequests } from '../../src/plugins/strict-requests.ts'

const nested = (levels: number, inside = '1') => '['.repeat(levels) + inside + ']'.repeat(levels)

const bodies = [
  { when: '16 levels', body: nested(16), status: 200 },
  { when: '17 levels', body: nested(17), status: 400 },
  { when: '17 levels, objects and arrays mixed', body: '{"a":['.repeat(8) + '{}' + ']}'.repeat(8), status: 400 },
  { when: 'a hundred thousand levels that never end', body: '['.repeat(100_000), status: 400 },
  { when: 'brackets in a string', body: JSON.stringify({ a: '['.repeat(40) }), status: 200 },
  { when: 'brackets in a string after an escaped quote', body: JSON.stringify({ a: `"${'['.repeat(40)}` }), status: 200 },
  { when: '17 levels after a string that ends in an escaped backslash', body: `{"a":"\\\\","b":${nested(16)}}`, status: 400 },
  { when: 'many neighbours at the same level', body: `[${Array.from({ length: 100 }, () => '[]').join()}]`, status: 200 }
]

for (const { when, body, status } of bodies) {
  t.test(`a body with ${when} is answered ${status}`, async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    app.setErrorHandler((error, _request, reply) => {
      reply.code(error instanceof KeysError ? meanings[error.code].status : 500).send({ detail: error instanceof Error ? error.message : '' })
    })
    app.decorate('draining', false)
    await app.register(strictRequests)
    app.post('/', async () => 'read')
    const answer = await app.inject({ method: 'POST', url: '/', headers: { 'content-type': 'application/json' }, body })
    t.equal(answer.statusCode, status, answer.body)
    if (status === 400) t.match(answer.json(), { detail: 'The body is nested more than 16 levels deep.' })
  })
}
