import { readFileSync } from 'node:fs'
import t from 'tap'
import { mutants } from './mutants.ts'

/* `npm run mutants` runs them. Here: each can still be made, and its test is there. */

const textOf = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

for (const { without, file, find, replace, test, fails } of mutants) {
  t.test(`without "${without}", ${test} fails`, async (t) => {
    t.equal(textOf(`src/${file}`).split(find).length, 2, `the line stands once in ${file}`)
    t.not(find, replace)
    t.ok(textOf(test).includes(fails), 'the test has that name')
  })
}
