import Fastify from 'fastify'
import t from 'tap'
import { errorCodes, KeysError } from '../../src/core/errors.ts'
import { meanings } from '../../src/http/problem-document.ts'
import { readPageAssets, siteOf } from '../../src/pages/page-assets.ts'
import { pageErrors } from '../../src/pages/page-errors.ts'
import { pathsAt } from '../../src/pages/views/page.ts'

const site = siteOf({ paths: pathsAt({ apps: '/apps', settings: '/settings' }), assetsAt: '/settings', assets: readPageAssets() })

t.test('every error code has a page of its own words, with the same status as in the API', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(pageErrors, { site })
  app.get<{ Params: { code: typeof errorCodes[number] } }>('/:code', async ({ params }) => { throw new KeysError(params.code, { detail: 'the detail' }) })
  for (const code of errorCodes) {
    const { statusCode, headers, body } = await app.inject(`/${code}`)
    t.equal(statusCode, meanings[code].status, code)
    t.match(headers['content-type'], 'text/html')
    t.equal(/Something went wrong/.test(body), code === 'internal', code)
  }
})

t.test('the page of an unexpected error tells nothing of its cause', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(pageErrors, { site })
  app.get('/', async () => { throw new Error('select secret from somewhere') })
  const { statusCode, body } = await app.inject('/')
  t.equal(statusCode, 500)
  t.match(body, /Something went wrong/)
  t.notMatch(body, /secret/)
})
