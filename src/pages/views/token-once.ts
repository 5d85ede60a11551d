import type { ClientConfiguration, SetUpStep } from './client-configurations.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import type { Site } from './page.ts'

export interface SetUpView {
  /** Only one answer contains it. */
  readonly token: string
  readonly configurations: readonly ClientConfiguration[]
  readonly hasMcpServer: boolean
}

/** The token, and the steps to set up an app with it. `use`: the part that waits for the first use. */
export function tokenOnce ({ token, configurations, hasMcpServer, site }: SetUpView & { readonly site: Site }, use: Html | false): Html {
  return html`<section class="card padded stack" aria-labelledby="token-title">
        <div>
          <h2 id="token-title">Your API key</h2>
          <div class="token">
            <code id="token">${token}</code>
            ${copyButton('token', ' the key')}
          </div>
          <p class="once">${icon('warn')}<span><strong>Copy it now: you will not see it again.</strong> Only a hash of it is stored.</span></p>
        </div>
      </section>
      <section class="card padded stack" aria-labelledby="setup-title">
        <h2 id="setup-title">Set up your app</h2>
        ${!hasMcpServer && noServer(site)}
        ${tabs(configurations)}
        ${use}
      </section>`
}

function noServer ({ hasSignIn }: Site): Html {
  if (!hasSignIn) return html`<p>This page does not know the address of an MCP server, so it cannot show how to set up Claude, Cursor or another MCP client. The key already works with any HTTP client:</p>`
  return html`<p>This service does not know an MCP server yet, so there is no address to give to Claude, Cursor or another MCP client. The operator of the service can set <code>MCP_URL</code>, or <code>MCP_UPSTREAM_URL</code> for the gateway. The key already works with any HTTP client:</p>`
}

// Radio buttons and CSS: tabs that work without scripts and by keyboard.
function tabs (configurations: readonly ClientConfiguration[]): Html {
  return html`<div class="tabs">
          <fieldset class="tab-list">
            <legend class="sr-only">App to set up</legend>
            ${configurations.map(({ id, client }, index) => html`<label class="tab"><input type="radio" name="client" value="${id}"${index === 0 && html` checked`}><span>${client}</span></label>`)}
          </fieldset>
          ${configurations.map((configuration) => panel(configuration))}
        </div>`
}

function panel ({ id, client, steps }: ClientConfiguration): Html {
  return html`<ol class="panel" data-client="${id}" aria-label="How to set up ${client}">
            ${steps.map((step, index) => isNote(step) ? html`<li class="place"><p>${saysView(step.says)}</p></li>` : html`<li class="step">${stepView(step, { id, client, number: index + 1 - steps.slice(0, index).filter(isNote).length })}</li>`)}
          </ol>`
}

// Only says something: nothing to copy, nothing to open.
function isNote ({ text, link }: SetUpStep): boolean {
  return text === undefined && link === undefined
}

function stepView ({ says, text, link }: SetUpStep, { id: clientId, client, number }: { readonly id: string, readonly client: string, readonly number: number }): Html {
  const id = `step-${clientId}-${number}`
  return html`<div class="place"><p>${saysView(says)}</p>${text !== undefined && copyButton(id, ` step ${number} for ${client}`)}</div>
              ${link !== undefined && html`<p><a class="button" href="${link.href}">${link.label}</a></p>`}
              ${text !== undefined && html`<pre class="snippet" tabindex="0" role="region" aria-label="${client}, step ${number}"><code id="${id}">${text}</code></pre>`}`
}

// Every second part stood between backticks.
function saysView (says: string): Html[] {
  return says.split('`').map((part, index) => index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`)
}

function copyButton (source: string, rest: string): Html {
  return html`<button class="button small copy" type="button" data-copy="${source}" hidden>${icon('copy')}${icon('check')}<span data-label>Copy</span><span class="sr-only">${rest}</span></button>`
}
