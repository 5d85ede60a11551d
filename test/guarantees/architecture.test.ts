import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const root = new URL('../../', import.meta.url)
const page = readFileSync(new URL('docs/architecture.md', root), 'utf8')
const files = filesOf('src')
const importsOf = new Map(files.map((file) => [file, relativeImports(file)]))

/** Rows of the table "Folders": what it is about, and the folders of `src/` that its last column names. */
const rows = page.split('\n').flatMap((line) => {
  const [, names = '', , mayImport = ''] = line.split('|')
  return [...names.matchAll(/`(src\/[^`]*)`/g)].map(([, name = '']) => ({ name, mayImport }))
})
const folders = rows.flatMap(({ name }) => /^src\/([a-z]+)\/$/.exec(name)?.[1] ?? [])

t.test('every file of src stands in the table of folders of docs/architecture.md, and every row has files', async (t) => {
  t.ok(files.length > 100)
  t.same(files.filter((file) => rowOf(file) === undefined), [])
  t.same(rows.filter(({ name }) => !files.some((file) => file.startsWith(name))), [])
})

t.test('each file imports only what its row of the table allows', async (t) => {
  const wrong = files.flatMap((file) => {
    const row = rowOf(file)
    return (importsOf.get(file) ?? []).filter((imported) => row !== undefined && !allows(row, imported)).map((imported) => `${file} imports ${imported}`)
  })
  t.same(wrong, [])
})

t.test('each row of the table allows no folder that nothing of it imports', async (t) => {
  const idle = rows.filter(({ mayImport }) => !mayImport.includes('everything')).flatMap((row) => {
    const imported = files.filter((file) => rowOf(file) === row).flatMap((file) => importsOf.get(file) ?? [])
    return folders.filter((folder) => named(row.mayImport, folder) && !imported.some((file) => file.startsWith(`src/${folder}/`))).map((folder) => `${row.name} does not import ${folder}`)
  })
  t.same(idle, [])
})

t.test('no files import one another in a circle, not even for types', async (t) => {
  const circles: string[] = []
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' → '))
    if (path.includes(file) || done.has(file)) return
    for (const imported of relativeImports(file)) visit(imported, [...path, file])
    done.add(file)
  }
  for (const file of [...files, ...filesOf('bench')]) visit(file, [])
  t.same(circles, [])
})

t.test('every decision has its line in the index, under its own title', async (t) => {
  const index = readFileSync(new URL('docs/decisions/README.md', root), 'utf8')
  const listed = [...index.matchAll(/^- \[(\d{4})\]\(([^)]+)\): (.+)$/gm)].map(([, number, file, title]) => ({ number, file, title }))
  const decisions = readdirSync(new URL('docs/decisions/', root)).filter((name) => /^\d{4}-/.test(name)).sort().map((file) => {
    const [, number, title] = /^# (\d{4}):? (.+)$/m.exec(readFileSync(new URL(`docs/decisions/${file}`, root), 'utf8')) ?? []
    return { number, file, title }
  })
  t.same(listed, decisions)
})

t.test('what proves a decision is there', async (t) => {
  const folder = new URL('docs/decisions/', root)
  for (const file of readdirSync(folder).filter((name) => /^\d{4}-/.test(name))) {
    const proofs = /^Proved by:?(.+)$/ms.exec(readFileSync(new URL(file, folder), 'utf8'))?.[1] ?? ''
    const paths = [...proofs.matchAll(/(?:\b(?:test|bench|docs|deploy|examples)|\.ci)\/[\w./-]+/g)].map(([path]) => path.replace(/[.,]$/, ''))
    t.ok(paths.length > 0, `${file} names what proves it`)
    for (const path of paths) t.ok(existsSync(new URL(path, root)), `${file}: ${path}`)
  }
})

function rowOf (file: string) {
  return rows.filter(({ name }) => file.startsWith(name)).sort((a, b) => b.name.length - a.name.length)[0]
}

function allows ({ name, mayImport }: { name: string, mayImport: string }, imported: string): boolean {
  if (imported.startsWith(name) || mayImport.includes('everything')) return true
  const [, folder = ''] = /^src\/([a-z]+)\//.exec(imported) ?? []
  return named(mayImport, folder)
}

function named (mayImport: string, folder: string): boolean {
  return new RegExp(`\\b${folder}\\b`).test(mayImport)
}

function filesOf (folder: string): string[] {
  return readdirSync(new URL(`${folder}/`, root), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`)
}

function relativeImports (file: string): string[] {
  const text = readFileSync(new URL(file, root), 'utf8')
  const names = [...text.matchAll(/(?:\bfrom|\bimport\(|^import) ?'(\.[^']+)'/gm)].map(([, name = '']) => name)
  return [...new Set(names.map((name) => new URL(name, new URL(file, root)).href.slice(root.href.length)))]
}
