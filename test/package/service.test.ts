import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { blocksOf, Sandbox, whyNoSandbox } from '../support/sandbox.ts'
import { until } from '../support/servers.ts'
import { installed, pack, root } from './install.ts'

t.test('the service, installed into an empty folder, starts by the one command of its page; the first key is made and verified', { skip: whyNoSandbox }, async (t) => {
  const { 'navis-keys-service': { tarball } } = await pack()
  const folder = await installed(t, tarball)
  if (folder === undefined) return
  const [start] = blocksOf(join(root, 'packages/navis-keys-service/README.md')).filter(({ language }) => language === 'sh')
  const sandbox = await Sandbox.start(t, { cwd: folder })
  const out = sandbox.begin(start!.text)
  let command = ''
  await until(async () => {
    command = /^curl .*$/m.exec(await readFile(`${out}.err`, 'utf8') + await readFile(`${out}.out`, 'utf8'))?.[0] ?? ''
    return command !== ''
  }, { timeoutMs: 120_000 })
  const made = JSON.parse((await sandbox.run(command)).stdout) as { token: string }
  t.match(made.token, /^nops_[0-9A-Za-z]{38}$/)
  const verified = await sandbox.run(`curl -s http://127.0.0.1:8080/v1/verify -H "Authorization: Bearer $(cat data/management-token)" -H 'Content-Type: application/json' -d '{"token":"${made.token}"}'`)
  t.match(JSON.parse(verified.stdout), { valid: true })
  for (const path of ['/docs', '/settings/connected-apps', '/readyz', '/metrics']) t.equal((await sandbox.run(`curl -s -L -o /dev/null -w '%{http_code}' http://127.0.0.1:8080${path}`)).stdout, '200', path)
  const help = await sandbox.run('npx -p navis-keys-service navis-keys keys list --workspace default --json')
  t.equal(help.status, 0, help.stderr)
})
