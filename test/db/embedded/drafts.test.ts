import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { removeDrafts } from '../../../src/db/embedded/cluster.ts'
import { freshFolder } from '../../process/service.ts'

// Makes files of a draft and removes most of them, as initdb does, until it is told to end.
const busy = `
  const { parentPort, workerData: { draft, flag } } = require('node:worker_threads')
  const { unlinkSync, writeFileSync } = require('node:fs')
  parentPort.postMessage('works')
  for (let i = 0; Atomics.load(new Int32Array(flag), 0) === 0; i++) {
    const file = draft + '/' + i % 10 + '/made ' + i % 7
    try {
      writeFileSync(file, '')
      if (i % 50 > 0) unlinkSync(file)
    } catch { /* its folder is gone */ }
  }`

t.test('a draft is removed while what makes it still works on it', async (t) => {
  for (let round = 0; round < 20; round++) {
    // Not a test folder of the project's: for files that were removed a moment ago, a file system on a disk looks for long.
    const folder = freshFolder(t)
    const draft = join(folder, 'postgres.draft-abc')
    for (let i = 0; i < 10; i++) {
      mkdirSync(join(draft, String(i)), { recursive: true })
      for (let file = 0; file < 60; file++) writeFileSync(join(draft, String(i), String(file)), '')
    }
    const flag = new SharedArrayBuffer(4)
    const worker = new Worker(busy, { eval: true, workerData: { draft, flag } })
    const ended = new Promise((resolve) => { worker.once('exit', resolve) })
    await new Promise((resolve) => { worker.once('message', resolve) })
    await sleep(10)
    await removeDrafts(folder)
    t.notOk(existsSync(draft), `round ${round}`)
    Atomics.store(new Int32Array(flag), 0, 1)
    await ended
  }
})
