import type { ManagedKey } from '../../core/key-record.ts'
import { scopes } from '../../core/scopes.ts'
import type { ClientConfiguration } from './client-configurations.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { page, paths, type AssetUrls, type Viewer } from './page.ts'

export interface KeyCreatedView {
  readonly assets: AssetUrls
  readonly viewer: Viewer
  readonly key: ManagedKey
  /** Shown by this answer only. */
  readonly token: string
  readonly configurations: readonly ClientConfiguration[]
  readonly hasMcpServer: boolean
}

/** The one page that holds a token. `data-once`: a reload leads to the list instead of sending the form again. */
export function keyCreatedPage ({ assets, viewer, key, token, configurations, hasMcpServer }: KeyCreatedView): Html {
  return page({ title: 'Your new API key', assets, viewer, width: 'narrow' }, html`
    <div data-once="${paths.list}">
      <h1>“<bdi>${key.name}</bdi>” is ready</h1>
      <p class="lead">${scopes[key.scope].label}: ${lowerFirst(scopes[key.scope].grants)}.</p>
      <section class="card padded stack" aria-labelledby="token-title">
        <div>
          <h2 id="token-title">Your API key</h2>
          <div class="token">
            <code id="token">${token}</code>
            ${copyButton('token', 'Copy')}
          </div>
          <p class="once">${icon('warn')}<span><strong>Copy it now: you will not see it again.</strong> It is stored nowhere, only its fingerprint is.</span></p>
        </div>
      </section>
      <section class="card padded stack" aria-labelledby="setup-title">
        <h2 id="setup-title">Set up your app</h2>
        ${!hasMcpServer && noServer()}
        ${tabs(configurations)}
      </section>
      <p class="actions after"><a class="button primary" href="${paths.list}">Done</a></p>
    </div>`)
}

/** After the same form was sent twice: the key is there, its token was in the first answer only. */
export function alreadyCreatedPage ({ assets, viewer }: Pick<KeyCreatedView, 'assets' | 'viewer'>): Html {
  return page({ title: 'Already created', assets, viewer, width: 'narrow' }, html`
    <section class="card padded">
      <h1>This key is already created</h1>
      <p>The form was sent before, and the key was shown once, in that answer. If you did not copy it, revoke it and create another.</p>
      <p class="actions"><a class="button primary" href="${paths.list}">Connected Apps</a><a class="button" href="${paths.create}">Create another</a></p>
    </section>`)
}

function noServer (): Html {
  return html`<p>This service does not know an MCP server yet, so there is no address to give to Claude, Cursor or another MCP client. Whoever runs it sets <code>MCP_URL</code>, or <code>MCP_UPSTREAM_URL</code> for the gateway. The key works already, for any HTTP client:</p>`
}

// Radio buttons and a rule in the stylesheet: they change what is shown without a script, by keyboard too.
function tabs (configurations: readonly ClientConfiguration[]): Html {
  return html`<div class="tabs">
          <fieldset class="tab-list">
            <legend class="sr-only">App to set up</legend>
            ${configurations.map(({ id, client }, index) => html`<label class="tab"><input type="radio" name="client" value="${id}"${index === 0 && html` checked`}><span>${client}</span></label>`)}
          </fieldset>
          ${configurations.map((configuration) => panel(configuration))}
        </div>`
}

function panel ({ id, client, place, text }: ClientConfiguration): Html {
  return html`<div class="panel" data-client="${id}">
            <div class="place"><p>${place}</p>${copyButton(`config-${id}`, 'Copy', ` the configuration for ${client}`)}</div>
            <pre class="snippet" tabindex="0" role="region" aria-label="Configuration for ${client}"><code id="config-${id}">${text}</code></pre>
          </div>`
}

function copyButton (source: string, label: string, rest = ' the key'): Html {
  return html`<button class="button small copy" type="button" data-copy="${source}" hidden>${icon('copy')}${icon('check')}<span data-label>${label}</span><span class="sr-only">${rest}</span></button>`
}

function lowerFirst (text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
