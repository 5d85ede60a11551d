import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'

const documents = execFileSync('git', ['ls-files', '*.md'], { encoding: 'utf8' }).trim().split('\n')
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Readonly<Record<string, string>> }
const withoutBlocks = (text: string) => text.replace(/^ *```[^]*?^ *```$/gm, '')

/** As the site that shows them makes them from headings. */
function anchorsOf (text: string): string[] {
  return [...withoutBlocks(text).matchAll(/^#+ (.+)$/gm)]
    .map(([, heading = '']) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'))
}

t.ok(documents.length > 10)
for (const document of documents) {
  t.test(`what ${document} names is there`, async (t) => {
    const text = readFileSync(document, 'utf8')
    for (const [, link = ''] of withoutBlocks(text).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? document : join(dirname(document), path)
      t.ok(existsSync(target), `link: ${link}`)
      if (anchor !== undefined && existsSync(target)) t.ok(anchorsOf(readFileSync(target, 'utf8')).includes(anchor), `anchor: ${link}`)
    }
    for (const [, name = ''] of text.matchAll(/npm run ([a-z][a-z:-]*)/g)) t.ok(name in scripts, `npm run ${name}`)
    // Decisions are of their time, and what is told upstream names the files of others.
    if (/^docs\/(?:decisions|upstream)\//.test(document)) return
    for (const [, path = ''] of text.matchAll(/`((?:src|test|docs|examples|drizzle|assets)\/(?:[\w.-]+\/)*(?:[\w-]+\.[\w.-]+)?)`/g)) t.ok(existsSync(path), path)
  })
}

t.test('every page of docs/ can be reached from its index', async (t) => {
  const index = readFileSync('docs/README.md', 'utf8')
  for (const document of documents.filter((name) => /^docs\/(?!README|decisions\/)/.test(name))) t.ok(index.includes(`](${document.slice('docs/'.length)})`), document)
})
