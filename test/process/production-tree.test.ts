import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { freshDatabase, until, type Teardowns } from '../support/servers.ts'
import { freePort } from '../support/server-process.ts'
import { copyFromRoot } from '../package/install.ts'
import { allowedInContext, copiedFromContext, execForm, readStages, textsOf } from './dockerfile.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const stages = readStages()
const final = stages.at(-1) ?? []

t.test('the image takes only what has been built and installed for it from the stages before, and runs nothing itself', async (t) => {
  t.equal(stages.length, 3)
  t.same(textsOf(final, 'COPY').filter((text) => text.startsWith('--from')), [
    '--from=dependencies /app/sbom.cdx.json ./',
    '--from=dependencies /app/node_modules ./node_modules',
    '--from=dependencies --chown=1000:1000 /data /data',
    '--from=builder /app/dist ./dist'
  ])
  t.match(textsOf(final, 'ENV').join(' '), /NODE_OPTIONS=--max-semi-space-size=\d+ /, 'a start fits into 256 MiB: npm run test:image')
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } }
  t.match(scripts.start, ` ${/--max-semi-space-size=\d+/.exec(textsOf(final, 'ENV').join(' '))?.[0]} `, '`npm start` takes as little')
  t.same(textsOf(final, 'RUN'), [], 'nothing of the final stage needs a shell or npm')
  t.match(readFileSync(join(root, 'Dockerfile'), 'utf8'), /^ARG BASE=node:24-slim@sha256:[0-9a-f]{64}$/m)
  for (const stage of stages) t.same(textsOf(stage, 'FROM').map((text) => text.split(' ')[0]), ['${BASE}'], 'no stage has another base') // eslint-disable-line no-template-curly-in-string
})

t.test('everything that is copied is let into the context of the build, and no folder of secrets or data', async (t) => {
  t.same([...new Set(stages.flatMap(copiedFromContext))].map((name) => name.replace('./', '')).sort(), allowedInContext().sort())
})

t.test('it holds production dependencies only, no script of a package has run, and the SBOM is of what is installed', async (t) => {
  const commands = textsOf(stages[1] ?? [], 'RUN')
  t.equal(commands[0], 'npm ci --omit=dev --ignore-scripts')
  t.match(commands[1], /^npm pkg delete devDependencies +&& npm sbom --sbom-format=cyclonedx > sbom\.cdx\.json +&& sed -i "s\|https:\/\/registry\\\.invalid\/\|\$\(npm config get registry\)\|" sbom\.cdx\.json +&& /)
  for (const stage of stages) for (const text of textsOf(stage, 'RUN')) if (text.startsWith('npm ci')) t.match(text, '--ignore-scripts')
})

t.test('it says what it is', async (t) => {
  const labels = textsOf(final, 'LABEL').join(' ')
  for (const name of ['title', 'description', 'licenses', 'version', 'revision']) t.match(labels, `org.opencontainers.image.${name}=`)
  const { version, description, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<string, string>
  t.match(textsOf(final, 'ARG'), [`VERSION=${version}`])
  t.match(labels, `description="${description}"`)
  t.match(labels, `licenses="${license}"`)
  const chart = readFileSync(join(root, 'deploy/helm/navis-keys/Chart.yaml'), 'utf8')
  t.match(chart, `appVersion: ${version}\n`, 'the chart asks for the same version')
})

t.test('it runs as a user who is not root, named by number, who owns the data folder alone', async (t) => {
  const user = textsOf(final, 'USER').at(-1) ?? ''
  t.match(user, /^[1-9]\d*:[1-9]\d*$/)
  t.ok(textsOf(final, 'COPY').includes(`--from=dependencies --chown=${user} /data /data`))
  t.same(textsOf(final, 'VOLUME'), ['/data'])
  t.equal(final.filter(({ name }) => name !== 'CMD').findLastIndex(({ name }) => name === 'RUN' || name === 'COPY') <
    final.findIndex(({ name }) => name === 'USER'), true, 'the code belongs to root')
})

t.test('what the image holds starts without dev dependencies, is healthy by the own word of the image, and ends on SIGTERM with status 0', async (t) => {
  const tree = await productionTree(t)
  t.notOk(existsSync(join(tree, 'node_modules/typescript')))
  const before = readdirSync(tree, { recursive: true }).length
  const port = await freePort()
  const env = { PORT: String(port), DATABASE_URL: await freshDatabase(t, { migrated: false }), MANAGEMENT_TOKENS: `tests=${'s'.repeat(40)}` }
  const service = run(t, { tree, command: textsOf(final, 'CMD').at(-1), env })
  await until(async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).ok, { timeoutMs: 60_000, giveUp: () => service.exitCode !== null })

  const health = textsOf(final, 'HEALTHCHECK').at(-1)
  t.same(await once(run(t, { tree, command: health, env }), 'exit'), [0, null])
  service.kill('SIGTERM')
  t.same(await once(service, 'exit'), [0, null])
  t.same(await once(run(t, { tree, command: health, env }), 'exit'), [1, null], 'and is not healthy without the service')
  t.equal(readdirSync(tree, { recursive: true }).length, before, 'it has written nothing beside its code')
})

/** The files of the image: what the final stage copies, and the installed packages that are not for development only. */
async function productionTree (t: Teardowns): Promise<string> {
  const tree = mkdtempSync(join(tmpdir(), 'navis-image-'))
  t.teardown(() => { rmSync(tree, { recursive: true, force: true, maxRetries: 5 }) })
  await copyFromRoot([...copiedFromContext(final), 'dist', ...productionPackages()], tree)
  return tree
}

function productionPackages (): string[] {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, { dev?: boolean, devOptional?: boolean }> }
  // A nested package comes along with the one that holds it.
  return Object.entries(packages).flatMap(([path, { dev, devOptional }]) => path.lastIndexOf('node_modules/') === 0 && dev !== true && devOptional !== true && existsSync(join(root, path)) ? [path] : [])
}

function run (t: Teardowns, { tree, command, env }: { tree: string, command: string | undefined, env: Record<string, string> }): ChildProcess {
  const [program, ...args] = execForm(command ?? '')
  if (program !== 'node') throw new Error(`The image runs ${program}, not node.`)
  const child = spawn(process.execPath, args, {
    cwd: tree,
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', HOST: '127.0.0.1', LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'ignore', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  return child
}
