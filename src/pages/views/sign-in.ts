import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { page, type Site } from './page.ts'

export interface SignInView {
  readonly site: Site
  /** `provider`: OpenID Connect. `management-token`: embedded mode without a provider. */
  readonly way: 'provider' | 'management-token'
  readonly workspaceId?: string
  readonly fault?: string
  /** A form was sent after the session had ended. */
  readonly isUnsent?: boolean
}

/** The sign-in page that says that a form was not sent. */
export function unsentAt ({ paths }: Site): string {
  return `${paths.signIn}?unsent=yes`
}

export function isUnsent (query: Readonly<Record<string, unknown>>): boolean {
  return query['unsent'] === 'yes'
}

export function signInPage (view: SignInView): Html {
  return page({ title: 'Sign in', site: view.site, width: 'narrow', again: view.fault !== undefined && view.site.paths.signIn }, html`
    <section class="card padded sign-in">
      <span class="badge-icon">${icon('key')}</span>
      <h1>Sign in to Connected Apps</h1>
      ${view.fault !== undefined && html`<div class="notice bad" role="alert">${icon('warn')}<p>${view.fault}</p></div>`}
      ${view.isUnsent === true && html`<div class="notice bad" role="alert">${icon('warn')}<p>Your session had ended before the form arrived, so no key was created, changed or revoked. Sign in and open the page again.</p></div>`}
      ${view.way === 'provider' ? providerWay(view) : managementWay(view)}
    </section>`)
}

function providerWay ({ site }: SignInView): Html {
  return html`<p>Make and revoke the API keys that connect your apps to your workspace.</p>
      <a class="button primary full" href="${site.paths.signInStart}">Continue with single sign-on</a>`
}

function managementWay ({ site, workspaceId = 'default', fault }: SignInView): Html {
  return html`<form class="stack" method="post" action="${site.paths.signIn}">
        <div class="field">
          <label for="management-token">Management token</label>
          <p class="help" id="token-help">The token in the file <code>management-token</code> in the data folder, or one of <code>MANAGEMENT_TOKENS</code> if that is set.</p>
          <input class="text mono" type="password" id="management-token" name="management_token" required autocomplete="current-password" autofocus aria-describedby="token-help"${fault !== undefined && html` aria-invalid="true"`}>
        </div>
        <div class="field">
          <label for="workspace">Workspace</label>
          <p class="help" id="workspace-help">The workspace whose keys you want to see.</p>
          <input class="text" id="workspace" name="workspace_id" value="${workspaceId}" required maxlength="128" autocomplete="off" spellcheck="false" aria-describedby="workspace-help">
        </div>
        <button class="button primary full" data-busy="Signing in…">Sign in</button>
      </form>`
}

/** `providerSignOut`: the provider's sign-out URL, for people on a shared machine. */
export function signedOutPage ({ site, providerSignOut }: { site: Site, providerSignOut?: string }): Html {
  return page({ title: 'Signed out', site, width: 'narrow' }, html`
    <section class="card padded sign-in">
      <span class="badge-icon good">${icon('check')}</span>
      <h1>You are signed out</h1>
      <p>${providerSignOut === undefined ? 'This browser can no longer see or change your keys.' : 'This browser can no longer see or change your keys. Your single sign-on may still be open: on a shared machine, end that too.'}</p>
      <p class="actions"><a class="button primary" href="${site.paths.signIn}">Sign in again</a>${providerSignOut !== undefined && html`<a class="button" href="${providerSignOut}">End single sign-on</a>`}</p>
    </section>`)
}
