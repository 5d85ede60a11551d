import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { documented, withPorts } from './documented.ts'
import { keepsPromises } from './promises.ts'

function hasCaddy (): boolean {
  try {
    execFileSync('caddy', ['version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function installCaddy (): void {
  if (hasCaddy() || process.getuid?.() !== 0) return
  try {
    execFileSync('apt-get', ['install', '-q', '-y', '--no-install-recommends', 'caddy'], { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
  } catch { /* told below, by skipping */ }
}

installCaddy()

t.test('Caddy, with the configuration of the docs', { skip: !hasCaddy() && 'caddy is not here and cannot be installed (Debian: apt-get install caddy)' }, async (t) => {
  await keepsPromises(t, {
    whenGone: 502,
    async start (t, ports) {
      const caddy = new ServerProcess({ name: 'caddy', unprivileged: true })
      t.teardown(async () => { await caddy.remove() })
      // Caddy writes below these, and would otherwise into the tester's home.
      process.env['XDG_CONFIG_HOME'] = join(caddy.dir, 'config')
      process.env['XDG_DATA_HOME'] = join(caddy.dir, 'data')
      const listen = await freePort()
      const file = join(caddy.dir, 'Caddyfile')
      writeFileSync(file, `{\n\tadmin off\n}\n\n${withPorts(documented('Caddy', 'caddyfile'), { ...ports, listen })}`)
      await caddy.start({
        command: 'caddy',
        args: ['run', '--adapter', 'caddyfile', '--config', file],
        ready: async () => await fetch(`http://127.0.0.1:${listen}/`).then(() => true)
      })
      return listen
    }
  })
})
