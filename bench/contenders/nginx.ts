import { readFile } from 'node:fs/promises'

/** nginx itself knows every token, as a line of a `map`. */
export async function nginxMap (tokensFile: string): Promise<string> {
  const tokens = (await readFile(tokensFile, 'utf8')).trimEnd().split('\n')
  return withServer({
    http: `
  map_hash_max_size ${8 * tokens.length};
  map_hash_bucket_size 128;
  map $http_authorization $known {
    default 0;
${tokens.map((token) => `    "Bearer ${token}" 1;\n`).join('')}  }`,
    server: `
    location / {
      if ($known = 0) { return 401; }
      return 200 '{"hello":"world"}';
    }`
  })
}

/** nginx asks our service about every request, and answers by itself. */
export function nginxAuthRequest (servicePort: number): string {
  return withServer({
    http: `
  upstream navis_keys {
    server 127.0.0.1:${servicePort};
    keepalive 64;
    keepalive_requests ${unlimited};
  }`,
    // `return` would answer before auth_request has asked; a named location is reached after it.
    server: `
    root /nowhere;
    location / {
      auth_request /-/forward-auth;
      try_files /nothing @answer;
    }
    location @answer {
      return 200 '{"hello":"world"}';
    }
    location = /-/forward-auth {
      internal;
      proxy_pass              http://navis_keys/forward-auth?scope=mcp:read;
      proxy_pass_request_body off;
      proxy_set_header        Content-Length  "";
      proxy_set_header        X-Forwarded-For $remote_addr;
      proxy_set_header        Connection      "";
      proxy_http_version      1.1;
    }`
  })
}

// After 1,000 requests nginx would close a connection, which no other contender does.
const unlimited = 1_000_000_000

function withServer ({ http, server }: { readonly http: string, readonly server: string }): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path %DIR%/${name};`)
  return `worker_processes 1;
pid %DIR%/nginx.pid;
error_log %DIR%/error.log warn;
events {
  worker_connections 1024;
}
http {
  access_log off;
  default_type application/json;
  keepalive_requests ${unlimited};
${temporary.join('\n')}
${http}
  server {
    listen 127.0.0.1:%PORT%;
${server}
  }
}
`
}
