/** A mend that is taken out of the source, and the test that notices it. */
export interface Mutant {
  readonly without: string
  /** Below `src/`. */
  readonly file: string
  /** Stands once in the file. */
  readonly find: string
  readonly replace: string
  /** The file of the test. */
  readonly test: string
  /** A part of the name of the test that fails; other tests may fail as well. */
  readonly fails: string
}

const [pooler, manyMembers, largeFleet, tls, waits, upkeep] = [
  'test/window/pooler.test.ts', 'test/window/many-members.test.ts', 'test/window/large-fleet.test.ts', 'test/db/tls.test.ts',
  'test/window/cancelled-waits.test.ts', 'test/core/window/upkeep.test.ts'
]

/* The guards of the window itself are in test/simulation/guards.ts. */
export const mutants: readonly Mutant[] = [
  // Transaction poolers.
  {
    without: 'the lock of a migration ends with its transaction',
    file: 'db/migrate.ts',
    find: 'select pg_advisory_xact_lock(',
    replace: 'select pg_advisory_lock(',
    test: pooler,
    fails: 'through a transaction pooler several migrations at once succeed'
  },
  {
    without: 'a statement that writes sets by itself what its commit waits for',
    file: 'db/proof.ts',
    find: "const makeDurable = \"set_config('synchronous_commit', 'on', true)\"",
    replace: "const makeDurable = \"'on'\"",
    test: pooler,
    fails: 'what was answered outlives a power cut'
  },
  {
    without: 'settings of the session are given up only where a pooler refuses them',
    file: 'db/connect.ts',
    find: "code === '08P01' && /startup parameter/.test(message)",
    replace: "code === '08P01' || /startup parameter/.test(message)",
    test: pooler,
    fails: 'a pooler that refuses our settings of the session'
  },
  // A column that changes its type.
  {
    without: 'statements are not prepared on the server',
    file: 'db/connect.ts',
    find: '    prepare: false,\n',
    replace: '    prepare: true,\n',
    test: 'test/db/driver.test.ts',
    fails: 'on our connections no statement is prepared, whoever asks for it'
  },
  {
    without: 'statements are not prepared on the server, whatever the client of a host application does',
    file: 'db/connect.ts',
    find: '  return withTables(drizzle(client), schema)\n',
    replace: `  const { unsafe } = client
  const preparing = ((text: string, values: never[] = [], given = {}) => unsafe(text, values, { ...given, prepare: values.length > 0 })) as never
  return withTables(drizzle(Object.assign(client, { unsafe: preparing })), schema)
`,
    test: 'test/window/type-change.test.ts',
    fails: 'changes at once over few connections of a host application'
  },
  // Fleets.
  {
    without: 'a large fleet renews less often',
    file: 'core/window/durations.ts',
    find: 'Math.max(shortest, members * 1000 / renewalsPerSecond)',
    replace: 'shortest',
    test: largeFleet,
    fails: 'members renew as often as the formula says'
  },
  {
    without: 'replicas acknowledge over Redis, and do not renew for each change',
    file: 'core/window/acknowledgements.ts',
    find: "mode === 'postgres' ? 'all' : 'none'",
    replace: "'all'",
    test: manyMembers,
    fails: 'a change costs Postgres its own statement and one that reads who lives'
  },
  {
    without: 'an acknowledgement counts for the change whose announcement it names, and for no other',
    file: 'core/window/acknowledgements.ts',
    find: 'const waiting = this.#waiting.get(acknowledgement.nonce)\n',
    replace: 'const waiting = [...this.#waiting.values()][0]\n    if (waiting !== undefined) acknowledgement = { ...acknowledgement, nonce: waiting.wait.nonce, seq: waiting.wait.change.seq }\n',
    test: manyMembers,
    fails: 'what a member acknowledged earlier does not count for a change that it has not heard of'
  },
  {
    without: 'a change waits for its own acknowledgements while another one waits',
    file: 'core/window/acknowledgements.ts',
    find: 'const waiting = this.#waiting.get(acknowledgement.nonce)\n',
    replace: 'const waiting = [...this.#waiting.values()][0]\n    if (waiting !== undefined) acknowledgement = { ...acknowledgement, nonce: waiting.wait.nonce, seq: waiting.wait.change.seq }\n',
    test: manyMembers,
    fails: 'a change whose announcement was lost does not return by the acknowledgements of the next one'
  },
  {
    without: 'an acknowledgement counts for the id that sent it, and for no other',
    file: 'core/window/waits.ts',
    find: '!acknowledgedBy.has(member.id)',
    replace: 'acknowledgedBy.size === 0',
    test: manyMembers,
    fails: 'do not count for another member that has not heard of the change'
  },
  {
    without: 'announcements that are no longer held count as known to be missing',
    file: 'core/window/step.ts',
    find: 'acknowledged, floor: Math.max(state.floor, prunedTo)',
    replace: 'acknowledged',
    test: manyMembers,
    fails: 'hears of more changes than it holds while Postgres is away'
  },
  {
    without: 'a member that watches nobody does so when one has not acknowledged',
    file: 'core/window/upkeep.ts',
    find: 'if (!watchesAlready && this.#isOn && !this.#isKeeping) this.#later(0)',
    replace: '',
    test: upkeep,
    fails: 'it reads the list at once and removes the silent member'
  },
  {
    without: 'it reads often for a while, and not only once',
    file: 'core/window/upkeep.ts',
    find: 'this.#isWatcher || this.#options.clock.monotonicMs() < this.#watchesUntil',
    replace: 'this.#isWatcher',
    test: upkeep,
    fails: 'it reads the list at once and removes the silent member'
  },
  {
    without: 'it stops after a while',
    file: 'core/window/upkeep.ts',
    find: 'clock.monotonicMs() + 3 * waitOutMs(windowMs)',
    replace: 'Infinity',
    test: upkeep,
    fails: 'it stops watching three waits after the last change'
  },
  {
    without: 'many changes at once cost one reading',
    file: 'core/window/upkeep.ts',
    find: 'if (!watchesAlready && this.#isOn',
    replace: 'if (this.#isOn',
    test: upkeep,
    fails: 'many changes that are not acknowledged cost one reading'
  },
  {
    without: 'one reading at a time',
    file: 'core/window/upkeep.ts',
    find: 'this.#isOn && !this.#isKeeping) this.#later(0)',
    replace: 'this.#isOn) this.#later(0)',
    test: upkeep,
    fails: 'starts no second one beside it'
  },
  {
    without: 'a replica that has left does nothing more',
    file: 'core/window/upkeep.ts',
    find: 'if (!watchesAlready && this.#isOn && ',
    replace: 'if (!watchesAlready && ',
    test: upkeep,
    fails: 'a replica that has left watches nobody'
  },
  // TLS.
  {
    without: 'a certificate is compared with the host that was reached',
    file: 'db/tls.ts',
    find: 'optionsOf(address, host))',
    replace: 'optionsOf(address, address.hosts[0]!.host))',
    test: tls,
    fails: 'of several hosts the certificate has to be of the one that was reached'
  },
  {
    without: 'a certificate of another authority is refused',
    file: 'db/tls.ts',
    find: "rejectUnauthorized: sslMode.startsWith('verify')",
    replace: 'rejectUnauthorized: false',
    test: tls,
    fails: 'a certificate of another authority is refused'
  },
  {
    without: 'verify-full compares the name',
    file: 'db/tls.ts',
    find: "sslMode === 'verify-full' ? checkServerIdentity(host, certificate) : undefined",
    replace: 'undefined',
    test: tls,
    fails: 'verify-full compares the name, verify-ca does not'
  },
  {
    without: 'nothing may stand behind the answer to the request for TLS',
    file: 'db/tls.ts',
    find: 'answer[0] !== accepts || answer.length !== 1',
    replace: 'answer[0] !== accepts',
    test: tls,
    fails: 'what is no answer to the request for TLS is refused'
  },
  {
    without: 'a server without TLS is refused where it is required',
    file: 'db/tls.ts',
    find: 'if (mayBePlain) return socket',
    replace: 'return socket',
    test: tls,
    fails: 'what is no answer to the request for TLS is refused'
  },
  {
    without: 'the files of certificates are read for each connection',
    file: 'db/tls.ts',
    find: '      return readFileSync(name)\n',
    replace: '      return (Object(globalThis).read ??= new Map()).get(name) ?? (Object(globalThis).read.set(name, readFileSync(name)), readFileSync(name))\n',
    test: tls,
    fails: 'the file of the authority is read for each connection'
  },
  {
    without: 'a client certificate is shown',
    file: 'db/tls.ts',
    find: "    ...certificateFile !== undefined && { cert: file(certificateFile, 'the client certificate (sslcert)') },\n",
    replace: '',
    test: tls,
    fails: 'a client certificate is shown'
  },
  // Cancelled waits for a synchronous standby.
  {
    without: 'a cancelled wait makes a change uncertain',
    file: 'db/cancelled-wait.ts',
    find: 'if (routine === waitsForStandby) throw',
    replace: "if (routine === waitsForStandby + 's') throw",
    test: waits,
    fails: 'a change whose wait for the standby was cancelled is told as not known'
  },
  {
    without: 'warnings of another kind do not',
    file: 'db/cancelled-wait.ts',
    find: 'if (routine === waitsForStandby) throw',
    replace: "if (routine !== waitsForStandby + 's') throw",
    test: 'test/engine/peoples-databases.test.ts',
    fails: 'where each new connection gets a warning'
  },
  {
    without: 'changes on other connections are not concerned',
    file: 'db/key-store.ts',
    find: 'if (hasCause(error, isCancelledWait)) throw',
    replace: 'if (hasCause(error, isCancelledWait)) this.#pool.replace()\n      if (hasCause(error, isCancelledWait)) throw',
    test: 'test/db/cancelled-wait.test.ts',
    fails: 'only the one whose wait was cancelled is told as not known'
  },
  // Standbys.
  {
    without: 'each connection to a standby is noticed',
    file: 'db/connect.ts',
    find: '      Reflect.deleteProperty(sql.parameters, name)\n',
    replace: '',
    test: 'test/db/connect.test.ts',
    fails: 'each connection to a standby is noticed and closed'
  },
  {
    without: 'a connection that has begun says that its host is the right one',
    file: 'db/connect.ts',
    find: '        begun.add(socket)\n',
    replace: '',
    test: 'test/db/connect.test.ts',
    fails: 'the one that takes our connections stays the first'
  },
  {
    without: 'no connection comes about after its pool has been given up',
    file: 'db/connect.ts',
    find: '.finally(() => { isOver = true })',
    replace: '',
    test: 'test/db/connect.test.ts',
    fails: 'a connection that is being made when its pool is given up is closed'
  }
]
