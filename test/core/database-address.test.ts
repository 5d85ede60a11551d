import t from 'tap'
import { parseDatabaseUrl } from '../../src/core/database-address.ts'

const taken = [
  { url: 'postgres://ada:secret@db.internal:6432/keys', is: { hosts: [{ host: 'db.internal', port: 6432 }], user: 'ada', password: 'secret', database: 'keys', sslMode: 'prefer' } },
  { url: 'postgresql://localhost', is: { hosts: [{ host: 'localhost', port: 5432 }], user: undefined, password: undefined, database: undefined, sslMode: 'disable' } },
  { url: 'postgres://u@[::1]:5433/d', is: { hosts: [{ host: '::1', port: 5433 }] } },
  { url: 'postgres://u@[2001:db8::1]/d', is: { hosts: [{ host: '2001:db8::1', port: 5432 }] } },
  { url: 'postgres://u@h1:5433,h2:5434,h3/d?target_session_attrs=read-write', is: { hosts: [{ host: 'h1', port: 5433 }, { host: 'h2', port: 5434 }, { host: 'h3', port: 5432 }] } },
  { url: 'postgres://u@/d?host=h1,h2&port=1,2', is: { hosts: [{ host: 'h1', port: 1 }, { host: 'h2', port: 2 }] } },
  { url: 'postgres://u@%2Fvar%2Frun%2Fpostgresql/d', is: { hosts: [{ host: '/var/run/postgresql', port: 5432 }], sslMode: 'disable' } },
  { url: 'postgres://u@/d?host=/var/run/postgresql', is: { hosts: [{ host: '/var/run/postgresql', port: 5432 }] } },
  { url: 'postgres://u:p@ss/w?rd#%x@h:1/d?sslmode=require', is: { hosts: [{ host: 'h', port: 1 }], user: 'u', password: 'p@ss/w?rd#%x', database: 'd', sslMode: 'require' } },
  { url: 'postgres://u:p%40ss%20word@h/d', is: { password: 'p@ss word' } },
  { url: 'postgres://u@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem', is: { sslMode: 'verify-full', caFile: '/etc/ca.pem' } },
  { url: 'postgres://u@h/d?sslmode=require&sslrootcert=/etc/ca.pem', is: { sslMode: 'verify-ca' } },
  { url: 'postgres://u@localhost/d?sslrootcert=/etc/ca.pem', is: { sslMode: 'verify-full' } },
  { url: 'postgres://u@h/d?channel_binding=prefer&gssencmode=disable&keepalives=1&keepalives_idle=30&connect_timeout=5', is: { keepAliveSeconds: 30, connectTimeoutSeconds: 5 } },
  { url: 'postgres://u@h/d?pgbouncer=true', is: { isPooled: true } },
  { url: 'postgres://u@h/d?application_name=keys&options=-c%20geqo%3Doff', is: { applicationName: 'keys', options: '-c geqo=off' } }
]
for (const { url, is } of taken) {
  t.test(`${url} is taken as libpq takes it`, async (t) => { t.match(parseDatabaseUrl(url), is) })
}

const refused = [
  { url: 'mysql://h/d', says: /not a URL such as postgres:/ },
  { url: 'postgres://u:hush@h:port/d', says: /its port is not a number/ },
  { url: 'postgres://u:hush@::1/d', says: /Put an IPv6 address into brackets \[ \]/ },
  { url: 'postgres://u:hush@h:70000/d', says: /a port in it is not from 1/ },
  { url: 'postgres://u:hush@h/d?channel_binding=require', says: /channel_binding must be disable or prefer.*verify-full/ },
  { url: 'postgres://u:hush@h/d?gssencmode=require', says: /gssencmode must be/ },
  { url: 'postgres://u:hush@h/d?target_session_attrs=standby', says: /target_session_attrs must be.*only the primary/ },
  { url: 'postgres://u:hush@h/d?sslmode=on', says: /sslmode must be disable or/ },
  { url: 'postgres://u:hush@h/d?schema=public', says: /schema .*DATABASE_SCHEMA/ },
  { url: 'postgres://u:hush@h/d?connection_limit=5', says: /connection_limit .*DATABASE_CONNECTIONS_MAX/ },
  { url: 'postgres://u:hush@h/d?keepalives_count=3', says: /keepalives_count is unknown/ },
  { url: 'postgres://u:hush@h/d?__proto__=3', says: /__proto__ is unknown/ }
]
for (const { url, says } of refused) {
  t.test(`${url} is refused by the name of the part, and shows no secret`, async (t) => {
    t.throws(() => parseDatabaseUrl(url), { name: 'DatabaseUrlError', message: says })
    try { parseDatabaseUrl(url) } catch (error) { t.notMatch((error as Error).message, /hush/) }
  })
}
