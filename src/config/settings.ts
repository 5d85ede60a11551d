import { Type, type Static } from 'typebox'
import { schemaName } from '../core/database-address.ts'

/** A header that may carry a key, in lower case. */
export const keyHeader = '^(?!(?:authorization|proxy-authorization|cookie|host|connection|origin|accept|accept-.*|content-.*|date|expect|te|trailer|transfer-encoding|upgrade|via|forwarded|x-forwarded-.*|x-real-ip|x-auth-(?:key-id|workspace-id|owner-id|scopes)|traceparent|tracestate|baggage|idempotency-key|mcp-.*|x-navis-.*|user-agent)$)[A-Za-z][A-Za-z0-9-]{0,63}$|^$'

/*
 * One schema per setting: its check, its default and its description. `advice` completes the sentence
 * "NAME must be …"; `secret` settings can also come from a file, named by NAME_FILE. docs/settings.md is generated from this file.
 */
export const settings = Type.Object({
  HOST: Type.String({
    default: '127.0.0.1',
    advice: 'the address to listen on, such as 127.0.0.1 or 0.0.0.0',
    description: 'Address to listen on. `0.0.0.0` or `::` listens on every interface; then put a proxy with TLS in front.'
  }),
  PORT: Type.Integer({
    minimum: 0,
    maximum: 65535,
    default: 8080,
    advice: 'a port from 0 to 65535; 0 means any free port',
    description: 'Port to listen on; 0 means any free port.'
  }),
  METRICS_PORT: Type.Optional(Type.Integer({
    minimum: 0,
    maximum: 65535,
    advice: 'a port from 0 to 65535; 0 means any free port',
    description: 'A second port that serves only `/livez`, `/readyz` and `/metrics`; `PORT` then no longer serves them. Unset: `PORT` serves them.'
  })),
  DATABASE_URL: Type.Optional(Type.String({
    secret: true,
    advice: 'a URL such as postgres://user:password@host:5432/database',
    description: 'The primary of a Postgres 15 or later: a URI with libpq parameters. Each parameter is either honoured, or refused with an error that names it. If this and `DATABASE_HOST` are unset: an embedded Postgres in `DATA_DIR`. See [postgres.md](postgres.md).'
  })),
  DATABASE_HOST: Type.Optional(Type.String({
    advice: 'a host, several hosts separated by commas, or the folder of a Unix socket',
    description: 'Host of the primary. It replaces the host in `DATABASE_URL`; without `DATABASE_URL` it is enough alone.'
  })),
  DATABASE_PORT: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 65535,
    advice: 'a port from 1 to 65535',
    description: 'Port of the database. It replaces the port in `DATABASE_URL`.'
  })),
  DATABASE_NAME: Type.Optional(Type.String({
    advice: 'the name of a database',
    description: 'Name of the database. It replaces the name in `DATABASE_URL`.'
  })),
  DATABASE_USER: Type.Optional(Type.String({
    secret: true,
    advice: 'the name of a role',
    description: 'Role (user) of the database. It replaces the user in `DATABASE_URL`. The files of user, password and URL (`…_FILE`) are read again for each new connection, so a rotated credential needs no restart.'
  })),
  DATABASE_PASSWORD: Type.Optional(Type.String({
    secret: true,
    advice: 'the password of the role',
    description: 'Password of the role. It replaces the password in `DATABASE_URL`.'
  })),
  DATABASE_CA_FILE: Type.Optional(Type.String({
    advice: 'the path of a file in PEM',
    description: 'PEM file with the certificates of the authorities that may issue the certificate of the server; read again for each new connection. Sets `sslmode` to `verify-full` unless the URL has an `sslmode`.'
  })),
  DATABASE_SCHEMA: Type.String({
    pattern: schemaName.pattern,
    default: 'navis_keys',
    advice: schemaName.says,
    description: 'The schema for all tables and the journal of the migrations. The service creates nothing outside this schema.'
  }),
  DATABASE_CONNECTIONS_MAX: Type.Integer({
    minimum: 4,
    maximum: 1000,
    default: 10,
    advice: 'a whole number from 4 to 1000',
    description: 'Maximum number of database connections of one replica, for all purposes together. Connections are opened when needed; unused ones are closed after half a minute, except two.'
  }),
  MIGRATE: Type.Enum(['on', 'off'], {
    default: 'on',
    advice: 'on or off',
    description: '`on`: migrate the database at the start. `off`: refuse to start unless the database has the newest schema; run `navis-keys migrate` with a role that has more rights.'
  }),
  REQUIRE_SYNCHRONOUS: Type.Enum(['on', 'off'], {
    default: 'off',
    advice: 'on or off',
    description: '`on`: refuse every change, including revocations, with a 503 while the database has a standby that a commit does not wait for, because a failover to that standby would lose confirmed changes. See [failover.md](failover.md).'
  }),
  REDIS_URL: Type.Optional(Type.String({
    pattern: '^rediss?(\\+sentinel|\\+cluster)?://',
    secret: true,
    advice: 'a URL such as redis://host:6379/0, redis+sentinel://host:26379,host:26379/mymaster/0 or redis+cluster://host:6379,host:6379; rediss for TLS',
    description: 'Redis, shared by the replicas: `redis://host:6379/0`, `redis+sentinel://h1:26379,h2:26379/mymaster/0`, `redis+cluster://h1:6379,h2:6379`, and `rediss…` for TLS. `?sentinel_password=` and `?sentinel_username=` are for the Sentinels themselves. Unset: no Redis tier. Correctness does not depend on the contents of Redis.'
  })),
  REDIS_CA_FILE: Type.Optional(Type.String({
    advice: 'the path of a readable PEM file',
    description: 'PEM file with the certificates of the authorities that may issue the certificate of Redis, with `rediss…`. Unset: the authorities that Node trusts.'
  })),
  DATA_DIR: Type.String({
    default: './data',
    advice: 'the path of a folder',
    description: 'Folder of the embedded Postgres and of the generated management token. Only one process can use it at a time. Not used with `DATABASE_URL`.'
  }),
  MANAGEMENT_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=secret, separated by commas',
    description: 'Tokens that may manage keys: `name=secret,…`. The audit trail shows the name. A secret has 32 characters or more; `openssl rand -hex 32` prints a good one. Required with `DATABASE_URL`; without it, the first start creates one and keeps it in `DATA_DIR/management-token`.'
  })),
  SERVICE_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=secret, separated by commas',
    description: 'Tokens of internal services that may verify and introspect: `name=secret,…`, as above. Unset: only management tokens may verify and introspect.'
  })),
  TRUST_WINDOW_MS: Type.Integer({
    minimum: 1000,
    maximum: 600_000,
    default: 10_000,
    advice: 'a whole number of milliseconds from 1000 to 600000',
    description: 'How long a replica may accept keys from its cache without an answer from Postgres, in milliseconds. A longer window survives longer outages of Postgres. If a replica does not answer, a revocation takes up to this long. 1000 to 600000.'
  }),
  LAST_USED_FLUSH_MS: Type.Integer({
    minimum: 100,
    maximum: 60_000,
    default: 5000,
    advice: 'a whole number of milliseconds from 100 to 60000',
    description: 'How often the times of last use are written, in milliseconds. A crash loses the uses of up to this time. 100 to 60000.'
  }),
  USAGE_ADDRESSES: Type.Enum(['full', 'prefix', 'off'], {
    default: 'full',
    advice: 'full, prefix or off',
    description: 'How much of the address that last used a key is stored: all of it (`full`), its /24 (IPv6: /48) (`prefix`), or nothing (`off`). See [privacy.md](privacy.md).'
  }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
    default: 'info',
    advice: 'one of fatal, error, warn, info, debug, trace, silent',
    description: 'The lowest level that is logged: `fatal`, `error`, `warn`, `info`, `debug`, `trace`, or `silent`.'
  }),
  LOG_FORMAT: Type.Enum(['auto', 'pretty', 'json'], {
    default: 'auto',
    advice: 'one of auto, pretty, json',
    description: '`json`: one JSON object per line. `pretty`: for people. `auto`: pretty on a terminal, otherwise JSON.'
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(Type.String({
    advice: 'the URL of an OpenTelemetry collector, such as http://collector:4318',
    description: 'Collector of OpenTelemetry traces. The other `OTEL_…` variables of the specification work too. If this and `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` are unset: no tracing. See [tracing.md](tracing.md).'
  })),
  TRUSTED_PROXIES: Type.Optional(Type.String({
    advice: 'addresses or CIDR ranges, separated by commas, and no range that contains every address',
    description: 'Proxies whose `X-Forwarded-For` is trusted: addresses or CIDR ranges, separated by commas. Unset: none.'
  })),
  UNKNOWN_TOKENS_PER_MINUTE: Type.Integer({
    minimum: 1,
    maximum: 1_000_000,
    default: 600,
    advice: 'a whole number from 1 to 1000000',
    description: 'How many well-formed but unknown tokens one client address (IPv6: one /64) may send per minute before it gets 429. Existing tokens never count. Over the limit, tokens of that address are still looked up, up to 1,000 per second before they are answered and 4,000 more per second after their 429, so that an existing token works at the second try at the latest. Behind a proxy set `TRUSTED_PROXIES`; otherwise all clients count as one address.'
  }),
  MEMORY_ENTRIES_MAX: Type.Integer({
    minimum: 1,
    maximum: 10_000_000,
    default: 100_000,
    advice: 'a whole number from 1 to 10000000',
    description: 'Maximum number of keys that a process holds in memory. Over this number, keys that were not used recently are dropped and looked up again.'
  }),
  TOKEN_PREFIX: Type.String({
    pattern: '^[a-z][a-z0-9]{1,15}_$',
    default: 'nops_',
    advice: '2 to 16 lower-case letters or digits, beginning with a letter, and an underscore, such as nops_',
    description: 'Prefix of every new token. Tokens with another prefix are refused, unless the prefix is in `TOKEN_PREFIXES_ACCEPTED`.'
  }),
  TOKEN_PREFIXES_ACCEPTED: Type.Optional(Type.String({
    advice: 'token prefixes, separated by commas or line breaks: each one 2 to 64 of the characters A-Z a-z 0-9 . _ ~ + / -, such as sk_live_',
    description: 'Other prefixes of tokens that are accepted: a former `TOKEN_PREFIX`, or the prefix of a system that keys were [imported](migrate.md) from, such as `sk_live_`. Such tokens have 16 to 512 characters of RFC 6750’s `b64token`, and no checksum that would detect a typing error. Any text with such a prefix is treated as a secret in logs and names, so choose prefixes with which no ordinary word begins. Unset: none.'
  })),
  KEY_MAX_LIFETIME_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Maximum lifetime of a key in every workspace, in days, counted from the creation of its newest token. The policy of a workspace can only be stricter. Unset: no maximum.'
  })),
  KEY_DEFAULT_LIFETIME_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Lifetime of a key that is created without an expiry, in days, unless the policy of its workspace sets another. Unset: the maximum lifetime.'
  })),
  KEY_UNUSED_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'A key that is not used for this many days, counted from its last use or its creation, is revoked as `unused`, 7 days after an event has announced it. The policy of a workspace can only be stricter. Unset: unused keys are not revoked.'
  })),
  WEBHOOK_URLS: Type.Optional(Type.String({
    secret: true,
    advice: 'URLs such as https://example.com/hooks, separated by commas or line breaks',
    description: 'URLs that receive the events of keys: `https:`, or `http:` on this machine, separated by commas or line breaks. Needs `WEBHOOK_SECRETS`. See [webhooks.md](webhooks.md). Unset: no events are sent; `GET /v1/events` still returns them.'
  })),
  WEBHOOK_SECRETS: Type.Optional(Type.String({
    secret: true,
    advice: 'secrets of the form whsec_ and the base64 of 24 to 64 bytes, such as `echo "whsec_$(openssl rand -base64 32)"` prints, separated by commas or line breaks',
    description: 'Secrets that sign the events, as Standard Webhooks defines: `whsec_` and the base64 of 24 to 64 random bytes, such as `echo "whsec_$(openssl rand -base64 32)"` prints. Separate several secrets by commas or line breaks: each event is signed with every secret, so that you can replace one after the other.'
  })),
  WEBHOOK_ALLOWED_CIDRS: Type.Optional(Type.String({
    advice: 'addresses or CIDR ranges, separated by commas or line breaks',
    description: 'Private addresses that events may be sent to: addresses or CIDR ranges, such as `10.20.0.0/16`. Unset: none. The address of a host name is checked for each connection.'
  })),
  LEAKS_GITHUB_KEYS: Type.String({
    default: 'https://api.github.com/meta/public_keys/secret_scanning',
    advice: 'the path of a file, or an https: URL (http: on this machine), with the keys that GitHub signs with',
    description: 'Where to read the public keys that verify GitHub\'s reports of leaked tokens: a URL, or the path of a file with the same JSON. Read when a report arrives. See [secret-scanning.md](secret-scanning.md).'
  }),
  AUDIT_RETENTION_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Entries of the audit trail are deleted after this many days. Unset: never.'
  })),
  USAGE_RETENTION_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 90,
    advice: 'a whole number of days from 1 to 36500',
    description: 'The daily usage of keys is deleted after this many days. The time of the last use of a key is kept.'
  }),
  CALL_RETENTION_DAYS: Type.Integer({
    minimum: 1,
    maximum: 36_500,
    default: 30,
    advice: 'a whole number of days from 1 to 36500',
    description: 'The records of single gateway calls are deleted after this many days.'
  }),
  ENDED_KEY_RETENTION_DAYS: Type.Optional(Type.Integer({
    minimum: 1,
    maximum: 36_500,
    advice: 'a whole number of days from 1 to 36500',
    description: 'Keys and their tokens are deleted this many days after the key was revoked or expired. The tokens are then refused as `unknown` instead of `revoked` or `expired`. The audit trail has its own setting. Unset: never.'
  })),
  CACHE: Type.Enum(['on', 'off'], {
    default: 'on',
    advice: 'on or off',
    description: '`off`: every verification reads Postgres. Revocation is equally immediate with `on`.'
  }),
  ACKS: Type.Enum(['on', 'postgres', 'off'], {
    default: 'on',
    advice: 'on, postgres or off',
    description: '`postgres`: replicas acknowledge revocations only in Postgres, not over Redis. `off`: every revocation waits for the whole trust window. Only for tests of these paths.'
  }),
  PUBLIC_URL: Type.Optional(Type.String({
    pattern: '^https?://[^/?#@]+/?$',
    advice: 'an origin such as https://keys.example.com: https:, or http: on this machine, and no path',
    description: 'Address under which people and clients reach the service; also the `iss` of introspection. Unset: the settings page can be opened on this machine only. Required with `OIDC_ISSUER`.'
  })),
  MCP_URL: Type.Optional(Type.String({
    pattern: '^https?://',
    advice: 'the http: or https: URL of an MCP server',
    description: 'URL of the MCP server, for the client configurations that the settings page shows. Unset: the path of the first upstream (`/mcp`, unless `MCP_PATHS` sets another) at `PUBLIC_URL`.'
  })),
  OIDC_ISSUER: Type.Optional(Type.String({
    pattern: '^https?://',
    advice: 'the issuer URL of an OpenID provider: https:, or http: on this machine',
    description: 'OpenID provider for the sign-in to the settings page. Unset: with the embedded Postgres people sign in with a management token; with a database of your own the page is off. See [connected-apps.md](connected-apps.md).'
  })),
  OIDC_CLIENT_ID: Type.Optional(Type.String({
    advice: 'the id that the OpenID provider gave to this service',
    description: 'Client id of this service at the provider. Its redirect URI is `PUBLIC_URL` followed by `/settings/sign-in/callback`. Required with `OIDC_ISSUER`.'
  })),
  OIDC_CLIENT_SECRET: Type.Optional(Type.String({
    secret: true,
    advice: 'the secret that the OpenID provider gave to this service',
    description: 'Client secret of this service at the provider. Unset: a public client, protected only by PKCE.'
  })),
  OIDC_SCOPE: Type.String({
    pattern: '(^| )openid( |$)',
    default: 'openid profile email',
    advice: 'scopes separated by spaces, with openid among them',
    description: 'Scopes that are requested from the provider.'
  }),
  OIDC_WORKSPACE_CLAIM: Type.String({
    default: 'workspace_id',
    advice: 'the name of a claim',
    description: 'Claim with the workspace of a person. Dots select members of nested objects. People without this claim cannot sign in.'
  }),
  OIDC_OWNER_CLAIM: Type.String({
    default: 'sub',
    advice: 'the name of a claim',
    description: 'Claim that becomes the `owner_id` of the keys that a person creates. Do not use a claim that people can change themselves: they could take over the keys of others.'
  }),
  OIDC_ADMIN_CLAIM: Type.Optional(Type.String({
    advice: 'the name of a claim',
    description: 'Claim that makes a person an admin of the workspace. Admins see and revoke the keys of all people in it. Unset: there are no admins.'
  })),
  OIDC_ADMIN_VALUE: Type.String({
    default: 'true',
    advice: 'a text',
    description: 'The value that `OIDC_ADMIN_CLAIM` must have, or must contain if it is a list.'
  }),
  SESSION_IDLE_MS: Type.Integer({
    minimum: 60_000,
    maximum: 86_400_000,
    default: 1_800_000,
    advice: 'a whole number of milliseconds from 60000 to 86400000',
    description: 'A session of the settings page ends after this long without use, in milliseconds.'
  }),
  PAGES_FRAME_ORIGINS: Type.Optional(Type.String({
    advice: 'origins such as https://app.example.com, separated by commas',
    description: 'Origins of web applications that may show the settings page in an `<iframe>`. They must be on the same site as `PUBLIC_URL`; otherwise browsers do not send the session cookie. Unset: none. See [connected-apps.md](connected-apps.md#part-of-your-own-settings).'
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
    description: 'Logo beside that name. It is read at the start.'
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
    description: 'A session of the settings page ends this long after the sign-in, in milliseconds. The claims of the provider are used for this long.'
  }),
  API_KEY_HEADER: Type.String({
    pattern: keyHeader,
    default: 'x-api-key',
    mayBeEmpty: true,
    advice: 'the name of a header that has no other meaning, such as x-api-key, or empty',
    description: 'A second header that may carry a key, for clients that cannot send `Authorization`. Set to an empty value: no second header.'
  }),
  MCP_UPSTREAM_URL: Type.Optional(Type.String({
    advice: 'the http: or https: URL of an MCP server',
    description: 'The MCP server behind `/mcp`. If this and `MCP_UPSTREAMS` are unset: no gateway. See [gateway.md](gateway.md).'
  })),
  MCP_UPSTREAMS: Type.Optional(Type.String({
    advice: 'name=url, separated by commas',
    description: 'More MCP servers, each behind `/mcp/{name}`: `name=url,…`.'
  })),
  MCP_UPSTREAM_TOKEN: Type.Optional(Type.String({
    secret: true,
    advice: '8 or more characters of printable ASCII without spaces',
    description: 'Bearer token that the gateway sends to `MCP_UPSTREAM_URL`.'
  })),
  MCP_UPSTREAM_TOKENS: Type.Optional(Type.String({
    secret: true,
    advice: 'name=token, separated by commas',
    description: 'Bearer tokens that the gateway sends to `MCP_UPSTREAMS`: `name=token,…`.'
  })),
  MCP_UPSTREAM_HEADERS: Type.Optional(Type.String({
    secret: true,
    advice: 'a JSON object of headers by upstream, such as {"default":{"apikey":"…"}}, each value 8 or more characters of printable ASCII',
    description: 'Further headers that the gateway sends to its upstreams: JSON such as `{"default":{"apikey":"…"},"crm":{"x-tenant-key":"…"}}`. Every value is treated as a secret. Clients never see these headers and cannot override them.'
  })),
  MCP_PATHS: Type.Optional(Type.String({
    advice: 'name=path, separated by commas, such as default=/functions/v1/mcp-server',
    description: 'Paths under which clients reach an upstream, instead of `/mcp` (`default`) and `/mcp/{name}`: `name=path,…`, such as `default=/functions/v1/mcp-server`. The replaced path then no longer exists.'
  })),
  MCP_SIGNING_KEYS: Type.Optional(Type.String({
    pattern: '-----BEGIN ',
    secret: true,
    advice: 'one or more P-256 private keys in PEM, such as `openssl ecparam -name prime256v1 -genkey -noout` prints',
    description: 'P-256 private keys in PEM. Upstreams that have no token in the settings get a JWT that names the caller and is valid for one minute (ES256, signed with the first key). `/.well-known/jwks.json` has the public keys of all.'
  })),
  MCP_POLICY_FILE: Type.Optional(Type.String({
    advice: 'the path of a JSON file',
    description: 'File that lists the tools that only read, by upstream. Unset: every tool needs `mcp:write`. The file is read again when it changes.'
  })),
  MCP_ALLOWED_ORIGINS: Type.Optional(Type.String({
    advice: 'origins such as https://app.example.com, separated by commas, or none',
    description: 'Origins of web pages that may call the gateway from a browser. `*` stands for any port (`http://localhost:*`) or, in schemes of programs, for any host (`vscode-webview://*`). Unset: the origins of this machine (`localhost`, `127.0.0.1`, `[::1]`). `none`: no origin.'
  })),
  MCP_ANSWER_TIMEOUT_MS: Type.Integer({
    minimum: 1000,
    maximum: 3_600_000,
    default: 120_000,
    advice: 'a whole number of milliseconds from 1000 to 3600000',
    description: 'How long an MCP server may take to begin an answer, and how long it may send nothing in the middle of a JSON answer, in milliseconds. Event streams may be silent without limit.'
  }),
  MCP_BODY_BYTES_MAX: Type.Integer({
    minimum: 1024,
    maximum: 16_777_216,
    default: 1_048_576,
    advice: 'a whole number of bytes from 1024 to 16777216',
    description: 'Maximum size of an MCP message or batch, in bytes. A key may have four of this size in progress at the same time, and all keys together 32; further ones wait.'
  })
})

export type Settings = Static<typeof settings>
export type SettingName = keyof Settings

/** The keywords of these schemas that JSON Schema does not have. */
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
