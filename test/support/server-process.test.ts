import t from 'tap'
import { freshFolder } from '../process/service.ts'
import { freePort } from './server-process.ts'

t.test('a port that one test of a run was given is given to no other, also while no server listens on it', async (t) => {
  const folder = freshFolder(t)
  const [run, random] = [process.env['TEST_JOINED'], Math.random]
  t.teardown(() => {
    if (run === undefined) delete process.env['TEST_JOINED']
    else process.env['TEST_JOINED'] = run
    Math.random = random
  })
  process.env['TEST_JOINED'] = folder
  for (const busOffset of [0, 1000]) {
    const drawn = [0.61, 0.61, 0.61, 0.61]
    Math.random = () => drawn.shift() ?? random()
    const ports = [await freePort({ busOffset }), await freePort({ busOffset })]
    t.notOk(drawn.length > 2, 'both have drawn')
    t.not(ports[0], ports[1])
  }
})
