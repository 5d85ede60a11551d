import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { removeOfEndedRuns } from './ended-runs.ts'
import { memoryFolder } from './memory-folder.ts'

t.test('everybody can write to the folder; it is removed, and so are those of runs that were killed', async (t) => {
  const parent = t.testdir()
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const [ended, other] = [join(parent, `navis-tests-${pid}-abc`), join(parent, 'other')]
  for (const folder of [ended, other]) mkdirSync(folder)
  const [one, two] = [memoryFolder(parent), memoryFolder(parent)]
  if (one === undefined || two === undefined) {
    t.pass('none', { skip: 'there are not 4 GiB to spare' })
    return
  }
  t.equal(statSync(one.path).mode & 0o7777, 0o1777)
  t.notOk(existsSync(ended))
  t.ok(existsSync(other))
  one.remove()
  t.notOk(existsSync(one.path))
  t.ok(existsSync(two.path))
})

t.test('there is none where there is no such folder', async (t) => {
  t.equal(memoryFolder(join(t.testdir(), 'nothing')), undefined)
})

t.test('what a killed run of another user has left stays, and stops nobody', { skip: process.getuid?.() === 0 ? false : 'only root can be two users' }, async (t) => {
  const parent = mkdtempSync(join(tmpdir(), 'navis-two-users-'))
  t.teardown(() => { rmSync(parent, { recursive: true, force: true }) })
  chmodSync(parent, 0o1777)
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  const left = join(parent, `of-${pid}-abc`)
  mkdirSync(join(left, 'more'), { recursive: true })
  process.seteuid!('nobody')
  try {
    removeOfEndedRuns(parent, 'of-')
  } finally {
    process.seteuid!(0)
  }
  t.ok(existsSync(join(left, 'more')))
  removeOfEndedRuns(parent, 'of-')
  t.notOk(existsSync(left))
})
