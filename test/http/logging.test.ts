import t from 'tap'
import { TokenFormat } from '../../src/core/token.ts'
import { createLogger } from '../../src/http/logging.ts'
import { Scrubber } from '../../src/http/scrubber.ts'

const secret = 'correct+horse/battery=staple~0123456789'
const { token } = new TokenFormat().mint()

function setup () {
  const lines: string[] = []
  const scrubber = new Scrubber({ tokenPrefix: 'nops_', secrets: [secret], urls: ['postgres://me:pass%2Fword9@db/keys', 'redis://:hunter2hunter2@cache'] })
  const log = createLogger({ level: 'trace', scrubber, destination: { write: (line: string) => { lines.push(line) } } })
  return { log, lines, scrubber }
}

t.test('a secret is scrubbed from a log line wherever it stands and however it is written', (t) => {
  const part = token.slice(5)
  const cases = [
    { when: 'the message', log: [{}, `saw ${token}`] },
    { when: 'a field', log: [{ a: { b: [token] } }, ''] },
    { when: 'the name of a field', log: [{ [token]: 1 }, ''] },
    { when: 'an error', log: [{ err: new Error(`no ${token}`) }, ''] },
    { when: 'the cause of an error', log: [{ err: new Error('x', { cause: new Error(token) }) }, ''] },
    { when: 'a URL', log: [{ url: `/x?t=${token.replace('_', '%5F')}` }, ''] },
    { when: 'a URL in a URL', log: [{ url: `/x?t=${token.replace('_', '%255f')}` }, ''] },
    { when: 'JSON in a field', log: [{ body: `{"t":"${token.replace('_', '\\u005f')}"}` }, ''] },
    { when: 'a configured secret', log: [{ a: secret }, secret] },
    { when: 'a configured secret, percent-encoded', log: [{ a: encodeURIComponent(secret) }, ''] },
    { when: 'the password of a URL', log: [{ a: 'postgres://me:pass%2Fword9@db/keys', b: 'pass/word9' }, ''] },
    { when: 'the password of another URL', log: [{ a: 'amqp://me:short@mq/' }, ''] }
  ] as const
  for (const { when, log: [fields, message] } of cases) {
    const { log, lines } = setup()
    log.info(fields, message)
    for (const found of [part, secret, encodeURIComponent(secret), 'pass%2Fword9', 'pass/word9', ':short@']) t.notOk(lines.join('').includes(found), when)
    t.match(lines.join(''), '[redacted]', when)
    t.doesNotThrow(() => JSON.parse(lines.join('')), when)
  }
  t.end()
})

t.test('the parameters of a failed query are not logged', (t) => {
  const { log, lines } = setup()
  log.error({ err: Object.assign(new Error('Failed query: select $1\nparams: somebody'), { query: 'select $1', params: ['somebody'], cause: Object.assign(new Error('no such table'), { code: '42P01' }) }) }, 'x')
  t.notOk(lines.join('').includes('somebody'))
  t.match(lines.join(''), '42P01')
  t.end()
})

t.test('what is no secret is logged as it is', (t) => {
  const { log, lines } = setup()
  log.info({ route: '/v1/workspaces/:workspace_id/keys', hint: 'nops_ab…yz' }, 'nops_short')
  t.notMatch(lines.join(''), 'redacted')
  t.end()
})
