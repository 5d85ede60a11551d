import { html, type Html } from '../pages/views/html.ts'
import type { Answer, Description, Operation, Schema } from './description.ts'
import { listedByTag, type Listed } from './listed.ts'

/** The description of the API as a web page, without scripts and without anything from other servers. */
export function referencePage (description: Description): Html {
  const { info } = description
  const groups = listedByTag(description)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API · Navis Keys</title>
<link rel="icon" href="/docs/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/docs/reference.css">
</head>
<body>
<nav aria-label="Operations">
<p class="name">Navis Keys</p>
${groups.map(({ tag, members }) => html`<h2>${tag.name}</h2><ul>${members.map(({ method, path, operation }) => html`<li><a href="#${anchorOf(operation)}"><b>${method.toUpperCase()}</b> ${path}</a></li>`)}</ul>`)}
</nav>
<main>
<h1>The API of ${info?.title ?? ''}</h1>
<p>${info?.description ?? ''}</p>
<p>For programs: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). For assistants: <a href="/llms.txt">/llms.txt</a>.</p>
${groups.map(({ tag, members }) => html`<section><h2>${tag.name}</h2><p>${prose(tag.description)}</p>${members.map((member) => operationView(member, description))}</section>`)}
</main>
</body>
</html>`
}

function operationView ({ path, method, operation, isWebhook }: Listed, description: Description): Html {
  const { summary = '', description: text = '', parameters = [], requestBody, responses = {} } = operation
  const [type = '', media] = Object.entries(requestBody?.content ?? {})[0] ?? []
  const answer = Object.values(responses).flatMap(({ content }) => content?.['application/json']?.example ?? [])[0]
  return html`<article id="${anchorOf(operation)}">
<h3><span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code></h3>
<p class="summary">${prose(summary)}.</p>
<p>${prose(text)}</p>
<p class="credential">${isWebhook ? 'Sent by the service, with a signature.' : credentialOf(operation)}</p>
${parameters.length > 0 && html`<h4>Parameters</h4>${membersView(parameters.map(({ name, in: place, required = false, description, schema = {} }) => ({ name, place, required, schema: description === undefined ? schema : { ...schema, description } })))}`}
${media?.schema !== undefined && html`<h4>Body <small>${type}${requestBody?.required === false && ', optional'}</small></h4>${membersView(membersOf(resolved(media.schema, description), description))}`}
<h4>Example</h4>
<pre tabindex="0"><code>${isWebhook ? JSON.stringify(media?.example, null, 2) : exampleOf({ path, method, operation, type, body: media?.example })}</code></pre>
${answer !== undefined && html`<pre tabindex="0"><code>${JSON.stringify(answer, null, 2)}</code></pre>`}
<h4>Answers</h4>
<table><thead><tr><th>Status</th><th>Meaning</th><th>Headers</th></tr></thead><tbody>${Object.entries(responses).map(([status, answer]) => answerView(status, answer))}</tbody></table>
</article>`
}

function answerView (status: string, { description, headers = {} }: Answer): Html {
  return html`<tr><td><code>${status}</code></td><td>${prose(description)}</td><td>${Object.keys(headers).map((name) => html`<code>${name}</code> `)}</td></tr>`
}

interface Member {
  readonly name: string
  readonly place?: string | undefined
  readonly required: boolean
  readonly schema: Schema
}

function membersView (members: readonly Member[]): Html | false {
  return members.length > 0 && html`<table><thead><tr><th>Name</th><th>Type</th><th>Meaning</th></tr></thead><tbody>${members.map(({ name, place, required, schema }) => html`<tr>
<td><code>${name}</code>${place !== undefined && place !== 'query' && html` <small>${place}</small>`}</td><td>${typeOf(schema)}${!required && html` <small>optional</small>`}</td><td>${prose(String(schema['description'] ?? ''))}${schema['default'] !== undefined && ` Default: ${JSON.stringify(schema['default'])}.`}</td></tr>`)}</tbody></table>`
}

function membersOf (schema: Schema, description: Description): Member[] {
  const [first] = schema['allOf'] as Schema[] ?? []
  if (first !== undefined) return membersOf(resolved(first, description), description)
  const required = schema.required ?? []
  return Object.entries(schema.properties ?? {}).map(([name, member]) => ({ name, required: required.includes(name), schema: member }))
}

function typeOf (schema: Schema): string {
  const { $ref, type, format, enum: values, anyOf, items, const: only } = schema
  if ($ref !== undefined) return $ref.split('/').at(-1)!
  if (only !== undefined) return JSON.stringify(only)
  if (values !== undefined) return values.map((value) => JSON.stringify(value)).join(' | ')
  if (anyOf !== undefined) return [...new Set(anyOf.map(typeOf))].join(' | ')
  if (type === 'array' && items !== undefined) return `array of ${typeOf(items)}`
  return [[type].flat().join(' | '), format].filter((part) => part !== undefined && part !== '').join(', ')
}

function resolved (schema: Schema, { components }: Description): Schema {
  const name = schema.$ref?.split('/').at(-1)
  return name === undefined ? schema : components?.schemas?.[name] ?? schema
}

const credentials: Readonly<Record<string, string>> = { management: 'a management token', service: 'a service token', key: 'a key' }

function credentialOf ({ security = [] }: Operation): string {
  const names = security.flatMap((one) => Object.keys(one)).map((name) => credentials[name] ?? name)
  return names.length === 0 ? 'No credential.' : `Authorization: Bearer with ${names.join(' or ')}.`
}

interface Asked {
  readonly path: string
  readonly method: string
  readonly operation: Operation
  readonly type: string
  readonly body: unknown
}

function exampleOf ({ path, method, operation, type, body }: Asked): string {
  const url = path.replace('{workspace_id}', 'acme').replace(/\{([a-z_]+)\}/g, (_, name: string) => `$${name.toUpperCase()}`)
  const credential = operation.security?.flatMap((one) => Object.keys(one))[0]
  return [
    `curl ${method === 'get' ? '' : `-X ${method.toUpperCase()} `}"$NAVIS_KEYS_URL${url}"`,
    ...(credential === undefined ? [] : [`-H "Authorization: Bearer $${credential.toUpperCase()}"`]),
    ...(body === undefined
      ? []
      : type === 'application/json'
        ? ['-H \'Content-Type: application/json\'', `-d '${JSON.stringify(body)}'`]
        : Object.entries(body as object).map(([name, value]) => `--data-urlencode '${name}=${String(value)}'`))
  ].join(' \\\n  ')
}

function anchorOf ({ operationId = '' }: Operation): string {
  return operationId
}

/** Text with code between backticks. */
function prose (text: string): Html {
  return html`${text.split('`').map((part, index) => index % 2 === 1 ? html`<code>${part}</code>` : part)}`
}
