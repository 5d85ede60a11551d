import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { requireProgram, whyWithout } from './programs.ts'

t.test('a program that is being installed for the whole run is waited for, also where it is found already, and no other one', async (t) => {
  const list = join(t.testdir(), 'programs-under-way')
  const before = process.env['TEST_PROGRAMS_UNDER_WAY']
  process.env['TEST_PROGRAMS_UNDER_WAY'] = list
  t.teardown(() => {
    if (before === undefined) delete process.env['TEST_PROGRAMS_UNDER_WAY']
    else process.env['TEST_PROGRAMS_UNDER_WAY'] = before
  })
  writeFileSync(list, 'psql\nnginx')
  t.match(requireProgram('unzip'), /unzip$/)
  t.ok(existsSync(list), 'another one is not waited for')
  const remover = spawn('/bin/sh', ['-c', 'sleep 0.3; rm "$0"', list], { stdio: 'ignore' })
  t.teardown(() => { remover.kill() })
  t.match(requireProgram('psql'), /psql$/)
  t.notOk(existsSync(list))
  t.equal(whyWithout('psql'), false)
})
