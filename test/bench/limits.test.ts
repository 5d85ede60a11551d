import t from 'tap'
import { Child } from '../support/child.ts'
import { isLong } from '../support/long.ts'

t.test('in small, limits run to their end: every figure is there, and two replicas let through what one limit allows', { timeout: 300_000, skip: !isLong && 'npm run test:long' }, async (t) => {
  const child = new Child(t, { file: 'bench/run.ts', args: ['--only', 'limits', '--shrink', '200', '--generations', '1', '--rounds', '1', '--seconds', '1', '--warm-up', '0'] })
  t.equal(await child.ended(), 0, child.stderr)
  for (const row of [/^\| bare Fastify \| \d/m, /that two replicas share \| \d/, /just sent \| \d/, /memory of a key, bytes \| -?[\d,.]+ \| -?[\d,.]+/, /WAL of 10,000 verifications, kB \| +\| \d/]) t.match(child.stdout, row)
  for (const load of ['half at each', 'nine of ten at one', 'all at one']) {
    const cells = child.stdout.split('\n').find((line) => line.startsWith(`| ${load} |`))?.split('|').map((cell) => cell.trim()) ?? []
    const [ofAllowed, failed] = [Number(cells[4]), Number(cells[8])]
    // On a busy machine even a Redis on loopback takes too long now and then; then each replica allows the whole limit by itself.
    t.ok(ofAllowed > 0.8 && ofAllowed < (failed === 0 ? 1.2 : 2.2), `${load}: ${ofAllowed} of what the limit allows, with ${failed} settlements that failed`)
  }
  t.notMatch(child.stdout, /NaN|undefined|Infinity/)
})
