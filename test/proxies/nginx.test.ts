import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { requireProgram } from '../support/programs.ts'
import { freePort, ServerProcess } from '../support/server-process.ts'
import { documented, withPorts } from './documented.ts'
import { keepsPromises } from './promises.ts'

// Only what says where files go is the test's own; the rest is the documented file, included as Debian includes it.
function main (dir: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/${name};`)
  return `daemon off; pid ${dir}/nginx.pid; error_log ${dir}/error.log warn;
events {}
http { access_log off; ${temporary.join(' ')} include ${dir}/navis-keys.conf; }
`
}

t.test('nginx, with the configuration of the docs', async (t) => {
  await keepsPromises(t, {
    whenGone: 503,
    async start (t, ports) {
      const nginx = new ServerProcess({ name: 'nginx', unprivileged: true })
      t.teardown(async () => { await nginx.remove() })
      const listen = await freePort()
      writeFileSync(join(nginx.dir, 'navis-keys.conf'), withPorts(documented('nginx', 'nginx'), { ...ports, listen }))
      writeFileSync(join(nginx.dir, 'nginx.conf'), main(nginx.dir))
      await nginx.start({
        command: requireProgram('nginx'),
        args: ['-p', nginx.dir, '-e', join(nginx.dir, 'error.log'), '-c', join(nginx.dir, 'nginx.conf')],
        ready: async () => await fetch(`http://127.0.0.1:${listen}/`).then(() => true)
      })
      return listen
    }
  })
})
