import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { TokenFormat } from '../../src/core/token.ts'

const page = readFileSync(new URL('../../docs/secret-scanning.md', import.meta.url), 'utf8')
const block = (language: string) => new RegExp('```' + language + '\\n([\\s\\S]*?)```').exec(page)?.[1] ?? ''

/** Each scanner's expression as the page has it, and which group is the token. */
function expressions (): Record<string, RegExp> {
  const gitleaks = /regex = '''(.*)'''/.exec(block('toml'))?.[1] ?? ''
  const trufflehog = (parseYaml(block('yaml')) as { detectors: [{ regex: { token: string } }] }).detectors[0].regex.token
  const cell = (name: string) => new RegExp(`\\| ${name} \\| \`(.*?)\` \\|`).exec(page)![1]!.replaceAll('\\|', '|').replaceAll('\\A', '^').replaceAll('\\z', '$')
  const github = `(?:${cell('Before secret')})(${cell('Secret format')})(?:${cell('After secret')})`
  return { gitleaks: new RegExp(gitleaks, 'gm'), trufflehog: new RegExp(trufflehog, 'gm'), github: new RegExp(github, 'g') }
}

const { token } = new TokenFormat().mint()
const { token: second } = new TokenFormat().mint()
const other = new TokenFormat('acme_').mint().token

/** Files as they lie in repositories, and the tokens that are in them. */
const files: ReadonlyArray<{ readonly name: string, readonly text: string, readonly finds: readonly string[] }> = [
  { name: '.env', text: `PORT=8080\nNAVIS_KEY=${token}\n`, finds: [token] },
  { name: 'mcp.json', text: JSON.stringify({ mcpServers: { notes: { headers: { Authorization: `Bearer ${token}` } } } }, null, 2), finds: [token] },
  { name: 'config.yaml', text: `key: '${token}'\nother: ${second}`, finds: [token, second] },
  { name: 'deploy.sh', text: `curl -H "Authorization: Bearer ${token}" https://x\nexport K=${second};\n`, finds: [token, second] },
  { name: 'url.txt', text: `https://example.com/?token=${token}&x=1`, finds: [token] },
  { name: 'alone.txt', text: token, finds: [token] },
  { name: 'README.md', text: `Send \`Authorization: Bearer ${token}\`, then (${second}).`, finds: [token, second] },
  // Near misses: what has another length, another alphabet, or is a part of something longer.
  { name: 'short.txt', text: token.slice(0, -1), finds: [] },
  { name: 'long.txt', text: `${token}x ${token}_x`, finds: [] },
  { name: 'prefix.txt', text: `x${token} X_${token} nops_`, finds: [] },
  { name: 'placeholder.md', text: 'nops_xxxxxxxx nops_… $NAVIS_KEY nops_<your key> nops_your-token-goes-here-and-is-long-enough-really', finds: [] },
  { name: 'hint.txt', text: `nops_${token.slice(5, 9)}…${token.slice(-4)}`, finds: [] },
  { name: 'capital.txt', text: token.toUpperCase(), finds: [] },
  // Other systems' tokens.
  { name: 'others.txt', text: ['ghp_' + 'a1'.repeat(18), 'sk_live_' + 'B2'.repeat(12), 'npm_' + 'c3'.repeat(18), 'xoxb-' + '1'.repeat(12), 'AKIA' + 'Q'.repeat(16), 'eyJhbGciOiJIUzI1NiJ9.e30.abc', other].join('\n'), finds: [] }
]

t.test('the expressions of the page find tokens in files, and neither near misses nor the tokens of other systems', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'navis-scan-'))
  t.teardown(() => { rmSync(folder, { recursive: true }) })
  for (const { name, text } of files) writeFileSync(join(folder, name), text)
  const found = Object.fromEntries(Object.entries(expressions()).map(([scanner, expression]) => [scanner, Object.fromEntries(readdirSync(folder).map((name) =>
    [name, [...readFileSync(join(folder, name), 'utf8').matchAll(expression)].map(([, secret]) => secret)]))]))
  const expected = Object.fromEntries(files.map(({ name, finds }) => [name, finds]))
  t.strictSame(Object.keys(found), ['gitleaks', 'trufflehog', 'github'])
  for (const scanner of Object.keys(found)) t.same(found[scanner], expected, scanner)
})

t.test('the expressions need nothing that the scanners\' engines (RE2, Hyperscan) do not have', async (t) => {
  for (const [scanner, { source }] of Object.entries(expressions())) t.notMatch(source, /\(\?[=!<]|\\[1-9]/, scanner)
})

t.test('the rule of gitleaks names the group of its expression and a keyword that every token has', async (t) => {
  t.match(block('toml'), /secretGroup = 1\nkeywords = \["nops_"\]/)
  t.ok(token.includes('nops_'))
})
