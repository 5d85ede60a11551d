import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
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
