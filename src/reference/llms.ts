import type { Description } from './description.ts'
import { listedByTag } from './listed.ts'

/** `/llms.txt` (llmstxt.org): a short text about the service for AI assistants. */
export function llmsText (description: Description): string {
  const { info } = description
  return `# ${info?.title ?? ''}

> ${info?.description ?? ''}

A key is presented as \`Authorization: Bearer nops_…\`, never in a URL. It has one scope: \`mcp:read\`, or \`mcp:write\`, which implies the other. Keys never manage keys: this needs a
management token, which a person holds. Do not ask people to paste a token into a chat, and do not write a token into a shared file: read it from the environment.

- No token, or one that is malformed, unknown, revoked or expired: 401. \`WWW-Authenticate\` and \`detail\` say which of these it is and what to do. Trying again does not help.
- Too little scope: 403 \`insufficient_scope\`. A person must create a key with the scope that the answer names.
- 503 \`unavailable\`: the answer is not known right now; this says nothing about the key. Try again after \`Retry-After\` seconds.
- Errors are \`application/problem+json\`; test \`code\`, not the text.

This service does not use OAuth: an MCP client needs only the static header. People create keys at /settings/connected-apps.

## Reference

- [OpenAPI 3.1](/openapi.json): every operation with schemas and examples
- [The same as a web page](/docs)

${listedByTag(description).map(({ tag: { name, description }, members }) => `## ${name}

${description}

${members.map(({ path, method, operation }) =>
    `- [${method.toUpperCase()} ${path}](/docs#${operation.operationId ?? ''}): ${operation.summary ?? ''}`).join('\n')}
`).join('\n')}`
}
