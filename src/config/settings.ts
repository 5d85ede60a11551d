import { Type, type Static } from 'typebox'

/*
 * One schema a setting: its check, its default and what people are told about it. `advice` completes the sentence
 * "NAME must be …"; `secret` settings can come from a file as well, named by NAME_FILE. docs/settings.md is printed from here.
 */
export const settings = Type.Object({
  HOST: Type.String({
    default: '127.0.0.1',
    advice: 'the address to listen on, such as 127.0.0.1 or 0.0.0.0',
    description: 'Address to listen on. `0.0.0.0` or `::` for every interface; put TLS in front.'
  }),
  PORT: Type.Integer({
    minimum: 0,
    maximum: 65535,
    default: 8080,
    advice: 'a port from 0 to 65535; 0 takes any that is free',
    description: 'Port to listen on; 0 takes any that is free.'
  }),
  METRICS_PORT: Type.Optional(Type.Integer({
    minimum: 0,
    maximum: 65535,
    advice: 'a port from 0 to 65535; 0 takes any that is free',
    description: 'A second port, for `/livez`, `/readyz` and `/metrics` alone, which are then no longer on `PORT`. Unset: they are on `PORT`.'
  })),
  DATABASE_URL: Type.Optional(Type.String({
    secret: true,
    advice: 'a URL such as postgres://user:password@host:5432/database',
    description: 'Postgres 15 or later, the primary: a URI with the parameters that libpq takes, each honoured or refused by its name. Unset, with `DATABASE_HOST`: an embedded Postgres in `DATA_DIR`. See [postgres.md](postgres.md).'
  })),
  DATABASE_HOST: Type.Optional(Type.String({
    advice: 'a host, several with commas, or the folder of a unix socket',
    description: 'Host of the primary, instead of `DATABASE_URL` or over its part.'
  })),
  DATABASE_PORT: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 65535,
    advice: 'a port from 1 to 65535',
    description: 'Its port, likewise.'
  })),
  DATABASE_NAME: Type.Optional(Type.String({
    advice: 'the name of a database',
    description: 'The database, likewise.'
  })),
  DATABASE_USER: Type.Optional(Type.String({
    secret: true,
    advice: 'the name of a role',
    description: 'The role, likewise. A file is read again for each connection, as are those of the URL and the password: what is rotated needs no restart.'
  })),
  DATABASE_PASSWORD: Type.Optional(Type.String({
    secret: true,
    advice: 'the password of the role',
    description: 'Its password, likewise.'
  })),
  DATABASE_CA_FILE: Type.Optional(Type.String({
    advice: 'the path of a file in PEM',
    description: 'Certificates of the authorities that the server’s certificate must come from, in PEM; read again for each connection. Makes `sslmode` `verify-full` unless the URL has one.'
  })),
  DATABASE_SCHEMA: Type.String({
    pattern: '^[a-z_][a-z0-9_]{0,62}$',
    default: 'navis_keys',
    advice: 'lower-case letters, digits and underscores, at most 63 of them, and no digit first',
    description: 'The schema that holds every table and the journal of the migrations. Nothing of ours stands anywhere else.'
  }),
  DATABASE_CONNECTIONS_MAX: Type.Integer({
    minimum: 4,
    maximum: 1000,
    default: 10,
    advice: 'a whole number from 4 to 1000',
    description: 'Connections of one replica at most, all purposes together. They are opened when they are needed, and given back after half a minute without use, but for two.'
  }),
  MIGRATE: Type.Enum(['on', 'off'], {
    default: 'on',
    advice: 'on or off',
    description: '`off`: refuse to start unless the database is at the newest schema; `navis-keys migrate` brings it there, under a role with more rights.'
  }),
  REQUIRE_SYNCHRONOUS: Type.Enum(['on', 'off'], {
    default: 'off',
    advice: 'on or off',
    description: '`on`: refuse every change, revocations too, with a 503 while the database has a standby that a commit does not wait for: a failover to it would lose what was answered. See [failover.md](failover.md).'
  }),
  REDIS_URL: Type.Optional(Type.String({
    pattern: '^rediss?(\\+sentinel|\\+cluster)?://',
    secret: true,
    advice: 'a URL such as redis://host:6379/0, redis+sentinel://host:26379,host:26379/mymaster/0 or redis+cluster://host:6379,host:6379; rediss for TLS',
    description: 'Redis, shared by the replicas: `redis://host:6379/0`, `redis+sentinel://h1:26379,h2:26379/mymaster/0`, `redis+cluster://h1:6379,h2:6379`, and `rediss…` for TLS. `?sentinel_password=` and `?sentinel_username=` are for the Sentinels themselves. Unset: no Redis tier. Nothing depends on what it holds.'
  })),
  REDIS_CA_FILE: Type.Optional(Type.String({
    advice: 'the path of a readable PEM file',
    description: 'PEM file with the certificates that the one of Redis is checked against, with `rediss…`. Unset: those of Node.'
  })),
  DATA_DIR: Type.String({
    default: './data',
    advice: 'the path of a folder',
    description: 'Folder of the embedded Postgres and of the management token made for it. One process at a time. Not used with `DATABASE_URL`.'
  }),
  MANAGEMENT_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=secret, with commas between several',
    description: 'Who may manage keys: `name=secret,…`. The name is what the audit trail shows. A secret is 32 characters or more; `openssl rand -hex 32` makes a good one. Needed with `DATABASE_URL`; without it, one is made on first start and kept in `DATA_DIR/management-token`.'
  })),
  SERVICE_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=secret, with commas between several',
    description: 'Internal services that may verify and introspect: `name=secret,…`, as above. Unset: only management tokens may.'
  })),
  TRUST_WINDOW_MS: Type.Integer({
    minimum: 1000,
    maximum: 600_000,
    default: 10_000,
    advice: 'a whole number of milliseconds from 1000 to 600000',
    description: 'For how long a replica may accept from its cache without having heard from Postgres, in milliseconds. Longer survives longer outages of Postgres; a revocation takes as long at most, and only while a replica does not answer. 1000 to 600000.'
  }),
  LAST_USED_FLUSH_MS: Type.Integer({
    minimum: 100,
    maximum: 60_000,
    default: 5000,
    advice: 'a whole number of milliseconds from 100 to 60000',
    description: 'How often the times of last use are written, in milliseconds; a crash loses as much. 100 to 60000.'
  }),
  USAGE_ADDRESSES: Type.Enum(['full', 'prefix', 'off'], {
    default: 'full',
    advice: 'full, prefix or off',
    description: 'How much is kept of the address that used a key last: all of it, its /24 (IPv6: /48), or nothing. See [privacy.md](privacy.md).'
  }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    advice: 'one of fatal, error, warn, info, debug, trace, silent',
    description: 'The least level that is logged: `fatal`, `error`, `warn`, `info`, `debug`, `trace`, or `silent`.'
  }),
  LOG_FORMAT: Type.Enum(['auto', 'pretty', 'json'], {
    default: 'auto',
    advice: 'one of auto, pretty, json',
    description: '`json`: one JSON object a line. `pretty`: for people. `auto`: pretty on a terminal, JSON elsewhere.'
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(Type.String({
    advice: 'the URL of an OpenTelemetry collector, such as http://collector:4318',
    description: 'Collector of OpenTelemetry traces; every other `OTEL_…` variable of the specification is taken as well. Unset, with `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: no tracing. See [tracing.md](tracing.md).'
  })),
  TRUSTED_PROXIES: Type.Optional(Type.String({
    advice: 'addresses or CIDR ranges, with commas between several, and no range that holds every address',
    description: 'Proxies whose `X-Forwarded-For` is believed: addresses or CIDR ranges, with commas. Unset: none.'
  })),
  UNKNOWN_TOKENS_PER_MINUTE: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 600,
    advice: 'a whole number from 1 to 1000000',
    description: 'Well-formed but unknown tokens that one client address (IPv6: one /64) may try in a minute before it gets 429. Tokens that exist never count; from then on up to 1,000 tokens a second of that address are still looked up, so that those that exist get through, some only at the second try. Behind a proxy set `TRUSTED_PROXIES`: else all clients are one address.'
  }),
  MEMORY_ENTRIES_MAX: Type.Integer({
    minimum: 1,
    maximum: 10_000_000,
    default: 100_000,
    advice: 'a whole number from 1 to 10000000',
    description: 'Keys that a process holds in memory at most. Beyond it, some that have not been used lately are looked up again.'
  }),
  TOKEN_PREFIX: Type.String({
    pattern: '^[a-z][a-z0-9]{1,15}_$',
    default: 'nops_',
    advice: '2 to 16 lower-case letters or digits, the first a letter, and an underscore, such as nops_',
    description: 'What every new token starts with. Tokens with another prefix are refused from then on, unless it is among `TOKEN_PREFIXES_ACCEPTED`.'
  }),
  TOKEN_PREFIXES_ACCEPTED: Type.Optional(Type.String({
    advice: 'beginnings of tokens, with commas or line breaks between several: each 2 to 64 of the characters A-Z a-z 0-9 . _ ~ + / -, such as sk_live_',
    description: 'Other beginnings under which tokens work: a former `TOKEN_PREFIX`, or that of a system that keys were [imported](migrate.md) from, such as `sk_live_`. Such tokens are 16 to 512 characters of RFC 6750’s `b64token`, and have no checksum that would tell a mistyped one. What begins so is treated as a secret in every log and name: take beginnings that no word has. Unset: none.'
  })),
  KEY_MAX_LIFETIME_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'The longest life of a key in every workspace, in days, counted from the making of its newest token. A workspace\'s policy can only be stricter. Unset: no such rule.'
  })),
  KEY_DEFAULT_LIFETIME_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'The life of a key that is made without an expiry, in days, unless the policy of its workspace says another. Unset: the longest that is allowed.'
  })),
  KEY_UNUSED_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'A key that is not used for so many days, counted from its last use or its making, is revoked as `unused`, 7 days after an event has said so. A workspace\'s policy can only be stricter. Unset: no such rule.'
  })),
  WEBHOOK_URLS: Type.Optional(Type.String({
    secret: true,
    advice: 'URLs such as https://example.com/hooks, with commas or line breaks between several',
    description: 'Who is told what happens to keys: `https:` URLs, or `http:` on this machine, with commas or line breaks. Needs `WEBHOOK_SECRETS`. See [webhooks.md](webhooks.md). Unset: nobody is; `GET /v1/events` tells whoever asks.'
  })),
  WEBHOOK_SECRETS: Type.Optional(Type.String({
    secret: true,
    advice: 'secrets of the form whsec_ and the base64 of 24 to 64 bytes, such as `echo "whsec_$(openssl rand -base64 32)"` prints, with commas or line breaks between several',
    description: 'What events are signed with, by Standard Webhooks: `whsec_` and the base64 of 24 to 64 random bytes, such as `echo "whsec_$(openssl rand -base64 32)"` prints. Several, with commas or line breaks: each event is signed with each, so that they can be changed one after the other.'
  })),
  WEBHOOK_ALLOWED_CIDRS: Type.Optional(Type.String({
    advice: 'addresses or CIDR ranges, with commas or line breaks between several',
    description: 'Private addresses that events may be sent to: addresses or CIDR ranges, such as `10.20.0.0/16`. Unset: none. What a name leads to is looked at for each connection.'
  })),
  LEAKS_GITHUB_KEYS: Type.String({
    default: 'https://api.github.com/meta/public_keys/secret_scanning',
    advice: 'the path of a file, or an https: URL (http: on this machine), with the keys that GitHub signs with',
    description: 'Where the public keys are that GitHub signs its reports of leaked tokens with: a URL, or the path of a file with the same JSON. Read when a report comes. See [secret-scanning.md](secret-scanning.md).'
  }),
  AUDIT_RETENTION_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Entries of the audit trail are deleted after so many days. Unset: never.'
  })),
  USAGE_RETENTION_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 90,
    advice: 'a whole number of days from 1 to 36500',
    description: 'What keys were used for, day by day, is deleted after so many days. The last use of a key stays with it.'
  }),
  CALL_RETENTION_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 30,
    advice: 'a whole number of days from 1 to 36500',
    description: 'What is known of single calls of the gateway is deleted after so many days.'
  }),
  ENDED_KEY_RETENTION_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Keys are deleted so many days after they were revoked or expired, with their tokens, which are then `unknown` and no longer `revoked` or `expired`. The audit trail goes by its own setting. Unset: never.'
  })),
  CACHE: Type.Enum(['on', 'off'], {
    default: 'on',
    advice: 'on or off',
    description: '`off`: every verification reads Postgres. Revocation is just as immediate with `on`.'
  }),
  ACKS: Type.Enum(['on', 'postgres', 'off'], {
    default: 'on',
    advice: 'on, postgres or off',
    description: '`postgres`: replicas acknowledge revocations in Postgres alone, not over Redis. `off`: every revocation waits out the trust window instead. For tests of these paths.'
  }),
  PUBLIC_URL: Type.Optional(Type.String({
    pattern: '^https?://[^/?#@]+/?$',
    advice: 'an origin such as https://keys.example.com: https:, or http: on this machine, and no path',
    description: 'Under which address people and clients reach the service. Unset: the settings page is open on this machine only. Needed with `OIDC_ISSUER`.'
  })),
  MCP_URL: Type.Optional(Type.String({
    pattern: '^https?://',
    advice: 'the http: or https: URL of an MCP server',
    description: 'The MCP server that people\'s clients connect to, for the configuration that the settings page shows. Unset: the path of the first upstream (`/mcp`, unless `MCP_PATHS` says otherwise) at `PUBLIC_URL`.'
  })),
  OIDC_ISSUER: Type.Optional(Type.String({
    pattern: '^https?://',
    advice: 'the issuer URL of an OpenID provider: https:, or http: on this machine',
    description: 'OpenID provider that signs people in to the settings page. Unset: with the embedded Postgres the page opens with a management token, with `DATABASE_URL` it is off. See [connected-apps.md](connected-apps.md).'
  })),
  OIDC_CLIENT_ID: Type.Optional(Type.String({
    advice: 'the id that the OpenID provider gave to this service',
    description: 'Id of this service at the provider. Its redirect URI is `PUBLIC_URL` and `/settings/sign-in/callback`. Needed with `OIDC_ISSUER`.'
  })),
  OIDC_CLIENT_SECRET: Type.Optional(Type.String({
    secret: true,
    advice: 'the secret that the OpenID provider gave to this service',
    description: 'Secret of this service at the provider. Unset: a public client, protected by PKCE alone.'
  })),
  OIDC_SCOPE: Type.String({
    pattern: '(^| )openid( |$)',
    default: 'openid profile email',
    advice: 'scopes separated by spaces, with openid among them',
    description: 'What the provider is asked for.'
  }),
  OIDC_WORKSPACE_CLAIM: Type.String({
    default: 'workspace_id',
    advice: 'the name of a claim',
    description: 'Claim that holds a person\'s workspace. Dots lead into nested objects. Without it nobody is let in.'
  }),
  OIDC_OWNER_CLAIM: Type.String({
    default: 'sub',
    advice: 'the name of a claim',
    description: 'Claim that becomes `owner_id` of the keys that a person makes. One that people can change themselves would give them the keys of others.'
  }),
  OIDC_ADMIN_CLAIM: Type.Optional(Type.String({
    advice: 'the name of a claim',
    description: 'Claim that makes someone an admin of their workspace, who sees and revokes everyone\'s keys. Unset: nobody is.'
  })),
  OIDC_ADMIN_VALUE: Type.String({
    default: 'true',
    advice: 'a text',
    description: 'What `OIDC_ADMIN_CLAIM` has to be, or has to hold where it is a list.'
  }),
  SESSION_IDLE_MS: Type.Integer({
    minimum: 60_000,
    maximum: 86_400_000,
    default: 1_800_000,
    advice: 'a whole number of milliseconds from 60000 to 86400000',
    description: 'A session of the settings page ends when it is unused for this long, in milliseconds.'
  }),
  PAGES_FRAME_ORIGINS: Type.Optional(Type.String({
    advice: 'origins such as https://app.example.com, with commas between several',
    description: 'Web applications that may show the settings page in an `<iframe>`, by origin. They have to be of the same site as `PUBLIC_URL`, or browsers keep the session back. Unset: none. See [connected-apps.md](connected-apps.md#part-of-your-own-settings).'
  })),
  BRAND_NAME: Type.String({
    default: 'Navis Keys',
    maxLength: 60,
    advice: 'a name of at most 60 characters',
    description: 'The name at the top of the settings page and in its titles.'
  }),
  BRAND_LOGO_FILE: Type.Optional(Type.String({
    pattern: '\\.(svg|png)$',
    advice: 'the path of an .svg or .png file',
    description: 'A picture beside that name. It is read at the start.'
  })),
  BRAND_CSS_FILE: Type.Optional(Type.String({
    pattern: '\\.css$',
    advice: 'the path of a .css file',
    description: 'A stylesheet that sets `--brand-accent` and the other `--brand-*` colours. It is read at the start. See [connected-apps.md](connected-apps.md#part-of-your-own-settings).'
  })),
  SESSION_LIFETIME_MS: Type.Integer({
    minimum: 60_000,
    maximum: 604_800_000,
    default: 28_800_000,
    advice: 'a whole number of milliseconds from 60000 to 604800000',
    description: 'A session of the settings page ends this long after signing in, in milliseconds; so does whatever the provider said of the person.'
  }),
  API_KEY_HEADER: Type.String({
    pattern: '^(?!(?:authorization|proxy-authorization|cookie|host|connection|origin|accept|content-.*|mcp-.*|x-navis-.*|user-agent)$)[A-Za-z][A-Za-z0-9-]{0,63}$|^$',
    default: 'x-api-key',
    mayBeEmpty: true,
    advice: 'the name of a header that has no other meaning, such as x-api-key, or empty',
    description: 'A second header that may carry a key, for clients that cannot send `Authorization`. Set and empty: none.'
  }),
  MCP_UPSTREAM_URL: Type.Optional(Type.String({
    advice: 'the http: or https: URL of an MCP server',
    description: 'The MCP server behind `/mcp`. Unset, with `MCP_UPSTREAMS`: no gateway. See [gateway.md](gateway.md).'
  })),
  MCP_UPSTREAMS: Type.Optional(Type.String({
    advice: 'name=url, with commas between several',
    description: 'More MCP servers, each behind `/mcp/{name}`: `name=url,…`.'
  })),
  MCP_UPSTREAM_TOKEN: Type.Optional(Type.String({
    secret: true,
    advice: '8 or more characters of printable ASCII without spaces',
    description: 'Bearer token that the gateway itself presents to `MCP_UPSTREAM_URL`.'
  })),
  MCP_UPSTREAM_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=token, with commas between several',
    description: 'The same for `MCP_UPSTREAMS`: `name=token,…`.'
  })),
  MCP_UPSTREAM_HEADERS: Type.Optional(Type.String({
    secret: true,
    advice: 'a JSON object of headers by upstream, such as {"default":{"apikey":"…"}}, each value 8 or more characters of printable ASCII',
    description: 'Further headers that the gateway itself sends to its upstreams: JSON such as `{"default":{"apikey":"…"},"crm":{"x-tenant-key":"…"}}`. Every value is taken for a secret. A client never sees them, nor can it send another value.'
  })),
  MCP_PATHS: Type.Optional(Type.String({
    advice: 'name=path, with commas between several, such as default=/functions/v1/mcp-server',
    description: 'Where clients reach an upstream, instead of `/mcp` (`default`) and `/mcp/{name}`: `name=path,…`, such as `default=/functions/v1/mcp-server`. The path that it replaces is then not there.'
  })),
  MCP_SIGNING_KEYS: Type.Optional(Type.String({
    pattern: '-----BEGIN ',
    secret: true,
    advice: 'one or more P-256 private keys in PEM, such as `openssl ecparam -name prime256v1 -genkey -noout` prints',
    description: 'P-256 private keys in PEM. Upstreams without a token of their own get a JWT of one minute (ES256, signed with the first) that says who calls; `/.well-known/jwks.json` shows the public keys of all.'
  })),
  MCP_POLICY_FILE: Type.Optional(Type.String({
    advice: 'the path of a JSON file',
    description: 'Which tools only read, by upstream. Unset: every tool writes. Read anew when it changes.'
  })),
  MCP_ALLOWED_ORIGINS: Type.Optional(Type.String({
    advice: 'origins such as https://app.example.com, with commas between several, or none',
    description: 'Web pages that may call the gateway from a browser, by origin. `*` stands for any port (`http://localhost:*`) or, in schemes of programs, any host (`vscode-webview://*`). Unset: those of this machine (`localhost`, `127.0.0.1`, `[::1]`). `none`: none.'
  })),
  MCP_ANSWER_TIMEOUT_MS: Type.Integer({
    minimum: 1000,
    maximum: 3_600_000,
    default: 120_000,
    advice: 'a whole number of milliseconds from 1000 to 3600000',
    description: 'How long an MCP server may take to begin an answer, or fall silent in the middle of a JSON one, in milliseconds. Event streams may be silent for ever.'
  }),
  MCP_BODY_BYTES_MAX: Type.Integer({
    minimum: 1024,
    maximum: 16_777_216,
    default: 1_048_576,
    advice: 'a whole number of bytes from 1024 to 16777216',
    description: 'The largest MCP message or batch that is read, in bytes. A key may have four of them under way at once, all keys together 32; further ones wait.'
  })
})

export type Settings = Static<typeof settings>
export type SettingName = keyof Settings

/** What the schemas say beyond JSON Schema. */
export interface SettingNotes {
  readonly advice: string
  readonly description: string
  readonly secret?: boolean
  /** Empty is a value, and not the same as unset. */
  readonly mayBeEmpty?: boolean
  readonly default?: string | number
}

export function notesOf (name: SettingName): SettingNotes {
  return settings.properties[name] as unknown as SettingNotes
}

export const settingNames = Object.keys(settings.properties) as readonly SettingName[]
