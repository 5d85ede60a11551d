import { writeFileSync } from 'node:fs'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config/config.ts'
import { PostgresServer } from './postgres.ts'

/** `npm run docs:openapi`: writes docs/openapi.json, as the service serves it. */
const server = await PostgresServer.start()
const app = await buildApp({ config: readConfig({ DATABASE_URL: server.url, MANAGEMENT_TOKENS: `ops=${'x'.repeat(40)}`, LOG_LEVEL: 'silent' }) })
try {
  await app.ready()
  writeFileSync(new URL('../../docs/openapi.json', import.meta.url), `${JSON.stringify(app.swagger(), null, 2)}\n`)
} finally {
  await app.close()
  await server.remove()
}
