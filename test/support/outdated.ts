import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/* Queries the registry: fails for each package that is not the newest and that docs/decisions/0195 does not name. */
const page = readFileSync(new URL('../../docs/decisions/0195-dependencies-that-are-not-the-newest.md', import.meta.url), 'utf8')
const { stdout, stderr } = spawnSync('npm', ['outdated', '--json'], { encoding: 'utf8' })
if (stdout === '') throw new Error(`npm outdated gave no answer: ${stderr}`)
const outdated = JSON.parse(stdout) as Record<string, { current?: string, latest?: string }>
const unnamed = Object.entries(outdated).filter(([name]) => !page.includes(`\`${name}\``))
for (const [name, { current, latest }] of unnamed) console.log(`${name} ${current ?? 'missing'}: ${latest} is there`)
console.log(`${Object.keys(outdated).length} held back, ${unnamed.length} of them without a reason`)
process.exitCode = unnamed.length === 0 ? 0 : 1
