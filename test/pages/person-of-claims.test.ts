import t from 'tap'
import { mayManage, type Person } from '../../src/core/person.ts'
import { personOfClaims, type Claims } from '../../src/pages/sign-in/person-of-claims.ts'

const names = { workspace: 'workspace_id', owner: 'sub', admin: 'roles', adminValue: 'keys-admin' }

const admitted: ReadonlyArray<{ when: string, claims: Claims, names?: Partial<typeof names>, is: Partial<Person> }> = [
  { when: 'workspace and subject are plain', claims: { sub: 'ada', workspace_id: 'acme', name: 'Ada' }, is: { workspaceId: 'acme', ownerId: 'ada', name: 'Ada', actor: 'user:ada', admin: false } },
  { when: 'there is no name: the owner id stands for it', claims: { sub: 'ada', workspace_id: 'acme' }, is: { name: 'ada' } },
  { when: 'the only workspace is in a list', claims: { sub: 'ada', workspace_id: ['acme'] }, is: { workspaceId: 'acme' } },
  { when: 'the workspace is a number', claims: { sub: 'ada', workspace_id: 42 }, is: { workspaceId: '42' } },
  { when: 'the claim is nested', claims: { sub: 'ada', org: { id: 'acme' } }, names: { workspace: 'org.id' }, is: { workspaceId: 'acme' } },
  { when: 'the claim is named by a URL with dots', claims: { sub: 'ada', 'https://id.example.com/org': 'acme' }, names: { workspace: 'https://id.example.com/org' }, is: { workspaceId: 'acme' } },
  ...['auth0|ada', 'ada+keys@example.com', 'AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ', 'YWRh+/=='].map((sub) => (
    { when: `the subject is ${sub}, as providers give them: the API has the same id`, claims: { sub, workspace_id: 'acme' }, is: { ownerId: sub, actor: `user:${sub}` } })),
  { when: 'the subject does not fit an owner id', claims: { sub: 'ada lovelace', workspace_id: 'acme' }, is: { ownerId: 'sha256:F3-F31etEh1aqsgHakoFVKZzGC_gbPZe59n30JYflH0' } },
  { when: 'the admin claim is a list that holds the value', claims: { sub: 'ada', workspace_id: 'acme', roles: ['x', 'keys-admin'] }, is: { admin: true } },
  { when: 'the admin claim is a list that holds something like it', claims: { sub: 'ada', workspace_id: 'acme', roles: ['keys-admins', 'KEYS-ADMIN'] }, is: { admin: false } },
  { when: 'the admin claim is true', claims: { sub: 'ada', workspace_id: 'acme', roles: true }, names: { adminValue: 'true' }, is: { admin: true } },
  { when: 'the name holds control characters', claims: { sub: 'ada', workspace_id: 'acme', name: 'A\u0000d\na\ud800' }, is: { name: 'A d a' } }
]

t.test('claims make a person', async (t) => {
  for (const { when, claims, is, names: other } of admitted) {
    t.match(personOfClaims(claims, { ...names, ...other }), { admitted: true, person: is }, when)
  }
})

const refused: ReadonlyArray<{ when: string, claims: Claims, missing: string }> = [
  { when: 'no workspace', claims: { sub: 'ada' }, missing: 'workspace' },
  { when: 'an empty workspace', claims: { sub: 'ada', workspace_id: '' }, missing: 'workspace' },
  { when: 'several workspaces', claims: { sub: 'ada', workspace_id: ['acme', 'other'] }, missing: 'workspace' },
  { when: 'a workspace with a slash', claims: { sub: 'ada', workspace_id: 'acme/../other' }, missing: 'workspace' },
  { when: 'a workspace that is an object', claims: { sub: 'ada', workspace_id: { id: 'acme' } }, missing: 'workspace' },
  { when: 'a workspace of the prototype', claims: { sub: 'ada' }, missing: 'workspace' },
  { when: 'an empty subject', claims: { sub: '', workspace_id: 'acme' }, missing: 'owner' },
  { when: 'a subject that spells another one\'s digest', claims: { sub: 'sha256:hAR-j5-wPPgB-7sOk9H1a1SxBZLOr_qlfK2VR4VbvUI', workspace_id: 'acme' }, missing: 'owner' }
]

t.test('nobody is admitted without a workspace and an owner', async (t) => {
  for (const { when, claims, missing } of refused) t.same(personOfClaims(claims, names), { admitted: false, missing }, when)
})

const key = { workspaceId: 'acme', ownerId: 'ada' }
const ada: Person = { workspaceId: 'acme', ownerId: 'ada', name: 'Ada', actor: 'user:ada', admin: false }

t.test('a key is managed by its owner and by the admins of its workspace, and by nobody else', async (t) => {
  t.ok(mayManage(ada, key))
  t.ok(mayManage({ ...ada, ownerId: 'joan', admin: true }, key))
  t.notOk(mayManage({ ...ada, ownerId: 'grace' }, key))
  t.notOk(mayManage({ ...ada, ownerId: null }, { ...key, ownerId: null }), 'a key without an owner is not owned by everyone without one')
  t.notOk(mayManage({ ...ada, workspaceId: 'other', admin: true }, key), 'an admin of another workspace')
})
