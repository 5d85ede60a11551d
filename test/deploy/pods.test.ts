import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { connect } from '../../src/db/connect.ts'
import { freePort } from '../support/server-process.ts'
import { freshDatabase, freshRedis, until } from '../support/servers.ts'
import { of, render, type Manifest } from './helm.ts'
import { podTemplateOf, type PodSpec } from './rules.ts'

t.setTimeout(180_000)

const secret = 'pods-management-token-0123456789-0123456789'
const mountPath = '/etc/navis-keys/secrets'

const podOf = (manifests: readonly Manifest[], kind: string): PodSpec => podTemplateOf(of(manifests, kind)[0]!)!.spec

/** What a kubelet does: the environment of the pod's container, and the keys of its Secrets as files. */
function started (t: Test, pod: PodSpec, { secrets, replaced = {}, command }: { secrets: Readonly<Record<string, string>>, replaced?: Readonly<Record<string, string>>, command: readonly string[] }): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'navis-pod-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  mkdirSync(join(folder, 'secrets'))
  for (const { secret } of pod.volumes?.find(({ name }) => name === 'secrets')?.['projected'].sources ?? []) {
    for (const { key, path } of secret.items) writeFileSync(join(folder, 'secrets', path), `${secrets[`${secret.name}/${key}`] ?? ''}\n`)
  }
  const env = Object.fromEntries((pod.containers[0]?.env ?? []).map(({ name, value = '' }) => [name, replaced[name] ?? value.replace(mountPath, join(folder, 'secrets'))]))
  const [, ...args] = command
  const child = spawn(process.execPath, args, { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => { child.kill('SIGKILL') })
  return child
}

async function outcome (child: ChildProcess): Promise<{ code: number | null, text: string }> {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (part: Buffer) => { text += part.toString() })
  const [code] = await once(child, 'close') as [number | null]
  return { code, text }
}

/** Makes the two roles by the statements of docs/postgres.md, under names of this test. */
async function twoRoles (t: Test, url: string): Promise<{ migrates: string, runs: string }> {
  const statements = /^## Rights$[^]*?```sql\n([^]*?)```/m.exec(readFileSync('docs/postgres.md', 'utf8'))![1]!
  const names = { migrates: `navis_migrates_${randomBytes(4).toString('hex')}`, runs: `navis_runs_${randomBytes(4).toString('hex')}` }
  const { sql, close } = connect({ url, max: 1 })
  t.teardown(async () => {
    for (const name of Object.values(names)) await sql.unsafe(`drop owned by ${name} cascade; drop role ${name}`).simple()
    await close()
  })
  await sql.unsafe(statements.replaceAll(/\bnavis_(migrates|runs)\b/g, (_, role: 'migrates' | 'runs') => names[role])).simple()
  const as = (name: string) => Object.assign(new URL(url), { username: name, password: '…' }).href
  return { migrates: as(names.migrates), runs: as(names.runs) }
}

t.test('the pods as they are rendered, under two roles: the Job migrates, the Job migrates, the service serves and is probed, `helm test` sees a key made and revoked', async (t) => {
  const at = (value: string, secretName: string) => ['--set', `${value}.name=${secretName}`, '--set', `${value}.key=url`]
  const manifests = render(...at('secrets.REDIS_URL', 'redis'), ...at('migration.secrets.DATABASE_URL', 'owner'))
  const { migrates, runs } = await twoRoles(t, await freshDatabase(t, { migrated: false }))
  const secrets = {
    'navis-keys-database/url': runs,
    'owner/url': migrates,
    'navis-keys-tokens/management': `ops=${secret}`,
    'redis/url': await freshRedis(t)
  }
  const job = podOf(manifests, 'Job')
  const migrated = async (secrets: Readonly<Record<string, string>>) => await outcome(started(t, job, { secrets, command: (job.containers[0] as unknown as { command: string[] }).command }))
  t.match(await migrated({ ...secrets, 'owner/url': runs }), { code: 1 }, 'the role of the pods may not migrate')
  t.match(await migrated(secrets), { code: 0 })

  const [port, metricsPort] = [await freePort(), await freePort()]
  const pod = podOf(manifests, 'Deployment')
  const service = started(t, pod, { secrets, command: ['node', 'dist/main.js'], replaced: { PORT: String(port), METRICS_PORT: String(metricsPort), HOST: '127.0.0.1' } })
  service.stdout?.resume()
  service.stderr?.resume()
  const [serviceUrl, metricsUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${metricsPort}`]
  const probe = (name: 'readinessProbe' | 'livenessProbe' | 'startupProbe') => `${metricsUrl}${pod.containers[0]?.[name].httpGet.path as string}`
  await until(async () => (await fetch(probe('readinessProbe'))).ok, { timeoutMs: 90_000, giveUp: () => service.exitCode !== null })
  for (const name of ['livenessProbe', 'startupProbe'] as const) t.equal((await fetch(probe(name))).status, 200, name)
  t.match(await (await fetch(`${metricsUrl}/metrics`)).text(), /^navis_keys_window_open 1$/m)
  for (const path of ['/metrics', '/readyz', '/livez']) t.equal((await fetch(`${serviceUrl}${path}`)).status, 404, `${path} is not on the port that the Service exposes`)

  const test = podOf(manifests, 'Pod')
  const { command } = test.containers[0] as unknown as { command: string[] }
  const addresses = { SERVICE_URL: serviceUrl, METRICS_URL: metricsUrl }
  const passed = await outcome(started(t, test, { secrets, command, replaced: addresses }))
  t.equal(passed.code, 0, passed.text)
  t.match(passed.text, /make: 201\nverify: 200\nrevoke: 204\nverify: 200\nThe service makes, verifies and revokes keys\./)
  t.notMatch(passed.text, secret)
  const refused = await outcome(started(t, test, { secrets: { ...secrets, 'navis-keys-tokens/management': `ops=${'x'.repeat(40)}` }, command, replaced: addresses }))
  t.equal(refused.code, 1, 'and it fails where it should')

  service.kill('SIGTERM')
  t.same(await once(service, 'exit'), [0, null])
})
