import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

// Nothing is released yet, so there is one migration, written anew from the tables. The tables of a release get a migration of their own.
const folder = fileURLToPath(new URL('.', import.meta.url))
for (const name of readdirSync(folder)) {
  if (name === 'meta' || /^\d{4}_.*\.sql$/.test(name)) rmSync(folder + name, { recursive: true })
}
execFileSync('npx', ['drizzle-kit', 'generate', '--name', 'first'], { cwd: `${folder}..`, stdio: 'inherit' })
// The schema is made by whoever migrates, where it is missing: a role may be allowed to use it and not to make it.
const tables = readFileSync(`${folder}0000_first.sql`, 'utf8').replace(/^CREATE SCHEMA .*;\n--> statement-breakpoint\n/, '')
writeFileSync(`${folder}0000_first.sql`, `${tables}--> statement-breakpoint\n${readFileSync(`${folder}after.sql`, 'utf8')}`)
