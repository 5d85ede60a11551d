import t from 'tap'
import { greeting } from '../../src/config/greeting.ts'

const rows = [
  { when: 'on the loopback address', address: '127.0.0.1', family: 'IPv4', url: 'http://127.0.0.1:8080/' },
  { when: 'on every address', address: '0.0.0.0', family: 'IPv4', url: 'http://127.0.0.1:8080/' },
  { when: 'on every address of both families', address: '::', family: 'IPv6', url: 'http://127.0.0.1:8080/' },
  { when: 'on an IPv6 address', address: '::1', family: 'IPv6', url: 'http://[::1]:8080/' }
]
for (const { when, address, family, url } of rows) {
  t.test(`the command names an address that answers when the service listens ${when}`, async (t) => {
    const text = greeting({ address: { address, family, port: 8080 }, dataDir: './data', tokenPath: 'data/management-token' })
    t.ok(text.includes(`curl ${url}v1/workspaces/demo/keys -H "Authorization: Bearer $(cat data/management-token)"`))
  })
}

t.test('a path with spaces and quotes is quoted for the shell', async (t) => {
  const text = greeting({ address: { address: '127.0.0.1', family: 'IPv4', port: 1 }, dataDir: 'x', tokenPath: "/home/o'neil/my data/management-token" })
  t.ok(text.includes("$(cat '/home/o'\\''neil/my data/management-token')"))
})

t.test('no token is named that was not made', async (t) => {
  t.notMatch(greeting({ address: { address: '127.0.0.1', family: 'IPv4', port: 1 }, dataDir: 'x', tokenPath: undefined }), /token|curl/)
})
