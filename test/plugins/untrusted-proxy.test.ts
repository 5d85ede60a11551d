import t from 'tap'
import { setupApp } from '../routes/setup.ts'

const forwarded = { headers: { 'x-forwarded-for': '192.0.2.1' } }

t.test('a proxy that is not trusted is told of, once; one that is trusted, and who sends no such header, is not', async (t) => {
  for (const [environment, times] of [[{}, 1], [{ TRUSTED_PROXIES: '192.0.2.0/24' }, 1], [{ TRUSTED_PROXIES: '127.0.0.1' }, 0]] as const) {
    const { ask, logs } = await setupApp(t, { environment })
    const warnings = () => logs.filter((line) => line.includes('TRUSTED_PROXIES')).length
    await ask('GET', '/livez')
    t.equal(warnings(), 0)
    await ask('GET', '/livez', forwarded)
    await ask('GET', '/livez', forwarded)
    t.equal(warnings(), times, JSON.stringify(environment))
  }
})
