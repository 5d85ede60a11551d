import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { requireProgram, whyWithout } from '../support/programs.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { documented, withPorts } from './documented.ts'
import { keepsPromises } from './promises.ts'

t.test('Caddy, with the configuration of the docs', { skip: whyWithout('caddy') }, async (t) => {
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
        command: requireProgram('caddy'),
        args: ['run', '--adapter', 'caddyfile', '--config', file],
        ready: async () => await fetch(`http://127.0.0.1:${listen}/`).then(() => true)
      })
      return listen
    }
  })
})
