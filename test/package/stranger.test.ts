import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { isLong } from '../support/long.ts'
import { blocksOf } from '../support/sandbox.ts'
import { freshDatabase } from '../support/servers.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { complaintsOf, installed, pack, root, run, runCompiler } from './install.ts'

// The block of the README, as it stands.
const [{ text: tenLines } = { text: '' }] = blocksOf(join(root, 'README.md')).filter(({ language }) => language === 'ts')

t.test(`a stranger's application of ten lines is protected${isLong ? ' in under two minutes from an empty folder' : ''}, and nothing in the editor is red`, async (t) => {
  const { 'navis-keys': { tarball } } = await pack()
  const databaseUrl = await freshDatabase(t, { migrated: false })
  const beganAt = performance.now()
  const folder = await installed(t, tarball, 'fastify', '@types/node@24', ...isLong ? ['typescript@6.0.3'] : [])
  if (folder === undefined) return
  await writeFile(join(folder, 'app.ts'), tenLines)
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { module: 'nodenext', target: 'es2023', types: ['node'], strict: true, skipLibCheck: !isLong }, files: ['app.ts'] }))
  t.equal(tenLines.trimEnd().split('\n').length, 10)
  // The long form has the older compiler, which takes seven times as long.
  t.equal(await complaintsOf(isLong ? run('npx', ['tsc'], { cwd: folder }) : runCompiler([], folder)), '')

  const server = new ServerProcess({ name: 'stranger' })
  t.teardown(async () => { await server.remove() })
  const port = await freePort()
  const env = join(server.dir, 'env')
  await writeFile(env, `DATABASE_URL="${databaseUrl}"\nPORT="${port}"\n`)
  const status = async (...headers: string[]) => (await run('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', `http://127.0.0.1:${port}/things`, ...headers])).stdout
  await server.start({ command: process.execPath, args: [`--env-file=${env}`, join(folder, 'app.js')], ready: async () => await status() === '401' })
  const token = (await readFile(join(server.dir, 'log'), 'utf8')).trim()
  t.equal(await status('-H', `Authorization: Bearer ${token}`), '200')
  t.equal(await status('-H', `Authorization: Bearer ${token.slice(0, -1)}`), '401')
  const seconds = (performance.now() - beganAt) / 1000
  t.comment(`${seconds.toFixed(1)} s`)
  if (isLong) t.ok(seconds < 120, `${seconds.toFixed(1)} s`)
})
