import { counted } from '../../core/counted.ts'
import type { ManagedKey } from '../../core/key-record.ts'
import type { KeyUsage } from '../../core/usage-reports.ts'
import { scopes } from '../../core/scopes.ts'
import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { formTokenField, page, pageEnd, pageStart, type Site, type Viewer } from './page.ts'
import { lastUseView } from './key-page.ts'

interface RevokeView {
  readonly site: Site
  readonly viewer: Viewer
  readonly key: ManagedKey
  readonly tokenPrefix: string
  readonly now: number
  readonly last: KeyUsage['last']
}

const consequence = 'Every request that uses it is refused from that moment on. This cannot be undone.'

export function revokePage ({ site, viewer, key, tokenPrefix, now, last }: RevokeView): Html {
  return page({ title: 'Revoke a key', site, viewer, width: 'narrow' }, html`
    <a class="crumb" href="${site.paths.list}">${icon('back')}Connected Apps</a>
    <section class="card padded">
      <h1>Revoke “<bdi>${key.name}</bdi>”?</h1>
      <p>${consequence}</p>
      <dl class="facts">
        <dt>Key</dt><dd><code>${tokenPrefix}${key.hint}</code></dd>
        <dt>Access</dt><dd>${scopes[key.scope].label}</dd>
        <dt>Last used</dt><dd>${lastUseView(key, last, now)}</dd>
      </dl>
      <form class="actions" method="post" action="${site.paths.revoke(key.id)}">
        ${formTokenField(viewer)}
        <button class="button danger" data-busy="Revoking…">Revoke key</button>
        <a class="button" href="${site.paths.list}">Keep it</a>
      </form>
    </section>`)
}

/** The same question as a dialog, for browsers that run scripts. Without scripts the link opens `revokePage`. */
export function revokeDialog (viewer: Viewer): Html {
  return html`<dialog id="revoke-dialog" aria-labelledby="revoke-title" aria-describedby="revoke-text">
      <form method="post">
        <h2 id="revoke-title">Revoke “<bdi data-key-name></bdi>”?</h2>
        <p id="revoke-text">${consequence}</p>
        <dl class="facts"><dt>Key</dt><dd><code data-key-hint></code></dd><dt>Last used</dt><dd data-key-last-used></dd></dl>
        ${formTokenField(viewer)}
        <div class="actions">
          <button class="button danger" data-busy="Revoking…">Revoke key</button>
          <button class="button" type="button" data-close autofocus>Keep it</button>
        </div>
      </form>
    </dialog>`
}

export interface WaitingView {
  readonly site: Site
  readonly viewer: Viewer
  readonly key: ManagedKey
  /** `servers`: the revocation is committed, but a replica has not confirmed it. `store`: it is not known to be committed. */
  readonly waitsFor: 'servers' | 'store'
  /** The longest wait for replicas, in milliseconds. */
  readonly longestMs: number
}

/** The first part of a streamed page, for a revocation that takes longer. `revokeDone` or `revokeUnknown` is its last part. */
export function revokeWaiting ({ site, viewer, key, waitsFor, longestMs }: WaitingView): Html {
  return html`${pageStart({ title: 'Revoking', site, viewer, width: 'narrow' })}
    <section class="card padded wait">
      <div class="waiting" role="status">
        <span class="spinner"></span>
        <div>
          <h1>Revoking “<bdi>${key.name}</bdi>”…</h1>
          <p>${waitsFor === 'servers' ? serversText(longestMs) : storeText}</p>
          <p class="fine">You can leave this page; the revocation continues.</p>
        </div>
      </div>
`
}

export function revokeDone (site: Site, key: ManagedKey): Html {
  return html`
      <div class="outcome" role="status" data-done="${site.paths.list}?revoked=${key.id}">
        <span class="badge-icon good">${icon('check')}</span>
        <h1>“<bdi>${key.name}</bdi>” is revoked</h1>
        <p>Every request that uses it is refused from now on.</p>
        <p class="actions"><a class="button primary" href="${site.paths.list}">Back to Connected Apps</a></p>
      </div>
    </section>${pageEnd()}`
}

export function revokeUnknown (site: Site, key: ManagedKey): Html {
  return html`
      <div class="outcome" role="alert">
        <span class="badge-icon warn">${icon('warn')}</span>
        <h1>It is not known whether “<bdi>${key.name}</bdi>” is revoked</h1>
        <p>The database did not answer. Please try again: it is safe to revoke a key twice.</p>
        <p class="actions"><a class="button primary" href="${site.paths.revoke(key.id)}">Try again</a></p>
      </div>
    </section>${pageEnd()}`
}

const storeText = 'Waiting for the database to record the revocation. Until then the key still works.'

function serversText (longestMs: number): string {
  return `The revocation is recorded. Waiting for a server that has not confirmed it yet and may accept the key a little longer, for at most ${counted(Math.ceil(longestMs / 1000), 'second')}.`
}
