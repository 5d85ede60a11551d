import type { ManagedKey } from '../../core/key-record.ts'
import { html, type Html } from './html.ts'
import { page, type Site, type Viewer } from './page.ts'
import { firstUse } from './first-use.ts'
import { accessText } from './key-page.ts'
import { timeView } from './times.ts'
import { tokenOnce, type SetUpView } from './token-once.ts'

export interface KeyCreatedView extends SetUpView {
  readonly site: Site
  readonly viewer: Viewer
  readonly key: ManagedKey
  readonly now: number
}

/** Contains the token of a new key. `data-once`: a reload opens the list instead of sending the form again. */
export function keyCreatedPage (view: KeyCreatedView): Html {
  const { site, viewer, key } = view
  return page({ title: 'Your new API key', site, viewer, width: 'narrow' }, html`
    <div data-once="${site.paths.list}">
      <h1>“<bdi>${key.name}</bdi>” is ready</h1>
      <p class="lead">${accessText(key.scope)} ${key.expiresAt === null ? 'It does not expire.' : html`It expires ${timeView(key.expiresAt, view.now)}.`}</p>
      ${tokenOnce(view, firstUse({ use: undefined, now: view.now, askAt: site.paths.use(key.id), lookAt: site.paths.key(key.id) }))}
      <p class="actions after"><a class="button primary" href="${site.paths.list}">Done</a></p>
    </div>`)
}

/** The answer when the same form is sent again: the key exists, and only the first answer contained its token. */
export function alreadyCreatedPage ({ site, viewer }: Pick<KeyCreatedView, 'site' | 'viewer'>): Html {
  return page({ title: 'Already created', site, viewer, width: 'narrow' }, html`
    <section class="card padded">
      <h1>This key was already created</h1>
      <p>The form was already sent, and the key was shown once, in that answer. If you did not copy it, revoke it and create another key.</p>
      <p class="actions"><a class="button primary" href="${site.paths.list}">Connected Apps</a><a class="button" href="${site.paths.create}">Create another</a></p>
    </section>`)
}
