import type { Patch } from './protocol.ts'
import type { Mistakes } from './model-postgres.ts'

/** Something of the protocol that the promise rests on, and how it is taken away: lines of the source, or a mistake of the world around it. */
export interface Guard {
  readonly name: string
  /** The mutants of the models that are the same, if they have it. */
  readonly models: readonly string[]
  readonly patches?: readonly Patch[]
  /** For what is the shape of a statement or of a call, and not a line of the pure protocol. */
  readonly mistakes?: Mistakes
  /** A world in which its absence shows. */
  readonly seed?: number
}

const patch = (file: string, find: string, replace: string): Patch => ({ file: `${file}.ts`, find, replace })

export const guards: readonly Guard[] = [
  { name: 'windowChecked', seed: 1, models: ['M_NOWIN'], patches: [patch('judge', "isOpen(state, now) ? judgeFreshness(state, entry, isFresh) : 'shut'", 'judgeFreshness(state, entry, isFresh)')] },
  {
    name: 'windowByClock',
    seed: 1,
    models: ['M_TIMERFLAG'],
    patches: [
      patch('judge', 'return now < state.windowEnd', 'return (state.flagAt ?? -Infinity) < state.windowEnd'),
      patch('step', 'return [sent, [...effects', 'return [{ ...sent, flagAt: now }, [...effects')
    ]
  },
  { name: 'windowFromSend', seed: 35, models: ['M_FROMRECV'], patches: [patch('step', 'Math.max(applied.windowEnd, renewing.sentAt + state.terms.windowMs)', 'Math.max(applied.windowEnd, now + state.terms.windowMs)')] },
  { name: 'recentChecked', seed: 0, models: ['M_NOTAIL'], patches: [patch('judge', "if (recent.newest <= position && ahead.newest <= position) return 'current'", "return 'current'")] },
  { name: 'floorChecked', seed: 0, models: [], patches: [patch('judge', "if (!(position >= floor)) return 'stale'", '')] },
  { name: 'floorRaised', seed: 0, models: ['M_NOFLOOR'], patches: [patch('step', 'Math.max(known, missingUpTo(answer, renewing.applied), prunedTo)', 'known')] },
  {
    name: 'appliedBeforeOpened',
    seed: 1,
    models: ['M_DECOUPLED'],
    patches: [
      patch('step', 'extendChanges(state.recent, answer.rows, state.terms.rowsMax)', 'extendChanges(state.recent, state.late ?? [], state.terms.rowsMax)'),
      patch('step', '    recent,\n    ahead: after', '    late: answer.rows,\n    recent,\n    ahead: after')
    ]
  },
  { name: 'ackedAfterApplied', seed: 3, models: ['M_ACKBEFOREAPPLY'], mistakes: { acksWhatItReads: true } },
  { name: 'announcementsNotApplied', seed: 0, models: ['M_HINTACK'], patches: [patch('step', '{ ...called, ahead, acknowledged, floor', '{ ...called, applied: Math.max(state.applied, change.seq), ahead, acknowledged, floor')] },
  { name: 'lateAnswersIgnored', seed: 37, models: [], patches: [patch('step', "state.phase !== 'member' || renewing?.number !== number", "state.phase !== 'member' || renewing === undefined")] },
  { name: 'fenced', seed: 83, models: ['M_NOFENCE'], patches: [patch('step', "if (answer.row !== 'alive' || !isOfOurs) return fenced(state, answer, fresh, now)", '')] },
  { name: 'idsFresh', seed: 0, models: ['M_SHAREID'], mistakes: { sharesId: true } },
  { name: 'checkedInOneTurn', seed: 1, models: ['M_SPLITCHECK'], mistakes: { checksInTwoTurns: true } },
  { name: 'waitHasMargin', seed: 76, models: ['M_NOMARGIN'], patches: [patch('durations', 'return windowMs * (1 + driftMax) / (1 - driftMax) + marginMs', 'return windowMs')] },
  { name: 'waited', seed: 0, models: ['M_NOWAIT'], patches: [patch('waits', 'const { change } = wait\n', "return 'fast'\n  const { change } = wait\n")] },
  { name: 'waitedFromCommit', seed: 6, models: ['M_WAITEARLY'], mistakes: { waitsFromRequest: true } },
  { name: 'repeatsWait', seed: 0, models: ['M_RETRYFAST'], mistakes: { repeatsReturnAtOnce: true } },
  {
    name: 'intentWaits',
    seed: 59,
    models: ['M_DIFF', 'M_SAMEFAST'],
    patches: [patch('waits', 'return [expiresAt, allowedCidrs, rateLimit].some((value) => value !== undefined && value !== null)', 'return expiresAt !== null && (asked.found === null || expiresAt < asked.found)')]
  },
  { name: 'rollReadAfterCommit', seed: 79, models: ['M_MEMBEFORE'], patches: [patch('waits', 'if (!(roll.sentAt > change.committedAt) || roll.seq < change.seq) return undefined', '')] },
  { name: 'countedOutAfterWindow', seed: 30, models: ['M_REAPEARLY'], patches: [patch('silent-members', 'if (roll.sentAt - sighting.since >= waitOutMs(member.windowMs)) silent.push(member)', 'silent.push(member)')] },
  { name: 'countedOutIfSilent', models: [], mistakes: { countsOutBlindly: true } },
  { name: 'lineageFounded', seed: 4, models: ['M_KEEPLINEAGE'], mistakes: { foundsTheSameLineage: true } },
  { name: 'lineageNotInherited', seed: 0, models: ['M_INHERIT'], mistakes: { joinsWithLineage: true } },
  { name: 'admitterProven', seed: 4, models: ['M_ADMITUNPROVEN'], mistakes: { admitsUnproven: true } },
  { name: 'admissionInTime', models: [], mistakes: { admitsLate: true } },
  {
    name: 'ackAfterAhead',
    seed: 0,
    models: ['M_RACKEARLY'],
    patches: [patch('step', '{ ...called, ahead, acknowledged, floor: Math.max(state.floor, prunedTo) }', '{ ...called, acknowledged }')]
  },
  { name: 'ackNamesChange', seed: 116, models: ['M_RACKNONCE', 'M_RACKPOS'], patches: [patch('waits', 'if (nonce !== wait.nonce || seq !== wait.change.seq) return wait', '')] },
  { name: 'ackNamesId', seed: 1, models: ['M_RACKBLIND', 'M_RACKCOUNT'], patches: [patch('waits', '!acknowledgedBy.has(member.id)', 'acknowledgedBy.size === 0')] },
  { name: 'aheadOutlivesFailedRenewal', seed: 10, models: ['M_AHEADDROP'], patches: [patch('step', 'return { ...state, renewing: undefined, failures:', 'return { ...state, ahead: noChanges, renewing: undefined, failures:')] },
  { name: 'aheadOverflowRaisesFloor', seed: 12, models: ['M_AHEADNOFLOOR'], patches: [patch('step', 'acknowledged, floor: Math.max(state.floor, prunedTo)', 'acknowledged')] },
  { name: 'memoOfGeneration', models: [], patches: [patch('token-memo', 'generation === this.#generation && ', '')] },
  { name: 'aheadOutlivesOlderAnswer', models: ['M_AHEADCLEAR'], patches: [patch('step', 'ahead: after(state.ahead, answer.seq)', 'ahead: noChanges')] },
  { name: 'joinedBeforeRead', seed: 3376, models: ['M_REG1SNAP'], mistakes: { joinsWithOldNews: true } },
  { name: 'answersProven', seed: 27, models: ['M_ROLLSWAP', 'M_POLLSWAP'], mistakes: { believesSwappedAnswers: true } },
  { name: 'beatChecked', models: ['M_NOBEAT'], mistakes: { ignoresBeats: true } },
  { name: 'positionProven', models: ['M_ASOFAHEAD'], mistakes: { keepsUnprovenPositions: true } },
  { name: 'lineageGivenUp', seed: 35, models: ['M_KEEPLATE'], patches: [patch('step', 'givesUpLineage: state.shown !== undefined && !isOpen(state, now)', 'givesUpLineage: false')] },
  {
    name: 'timelineInLabel',
    models: ['M_NOTLI', 'M_NORUN'],
    patches: [
      patch('judge', 'lineage !== history.lineage) return undefined', 'lineage !== history.lineage) return undefined\n  return lineage'),
      patch('step', 'const isOtherTimeline = state.history !== undefined && answer.history.timeline !== state.history.timeline', 'const isOtherTimeline = false')
    ]
  },
  { name: 'renewalIsAWrite', models: ['M_ROREADS'], mistakes: { renewalsOnlyRead: true } },
  { name: 'repeatIsAWrite', models: ['M_RETRYNOSYNC'], mistakes: { repeatsOnlyRead: true } },
  { name: 'revocationsHeld', models: ['M_FORGET'], patches: [patch('step', '  const before = upToDate([...state.kept, ...state.held].map(forgetAsked), state)', '  return { held: [], kept: [] }\n  const before: HeldRevocations[] = []')] },
  { name: 'heldUntilAnswered', models: ['M_FORGETASK'], patches: [patch('step', 'held: held.map((one) => one === next ? { ...one, asked: sent } : one)', 'held: []')] },
  {
    name: 'putBackInLineage',
    models: ['M_ANYLINEAGE'],
    patches: [patch('step', 'one.asked !== undefined || proofOf(one, history) !== undefined', 'true'), patch('step', 'next === undefined || proof === undefined || held', 'next === undefined || held')],
    mistakes: { putsBackAnywhere: true }
  },
  { name: 'putBackWhereKnown', models: ['M_ANYID'], mistakes: { putsBackAnywhere: true } },
  { name: 'keptWhenThere', models: ['M_LETGOEARLY', 'M_LETGOBARE', 'M_LETGOBORNE'], patches: [patch('step', 'kept: [...kept, ...held.filter(isThere)].slice(-heldMax)', 'kept: []')] },
  { name: 'heldWhenGivenUp', models: ['M_GIVENUP'], patches: [patch('step', 'const losesLineage = state.lineage !== undefined && answer.lineage === undefined', 'const losesLineage = false')] },
  {
    name: 'proofsGrow',
    models: ['M_GROWSNOT'],
    patches: [patch('step', 'held.map((one) => one.id === id ? { ...one, others: lineages } : one)', 'held')]
  },
  { name: 'proofsOfOneId', models: ['M_MERGEDID'], patches: [patch('step', 'one.isBorne === proof.isBorne && one.id === id', 'one.isBorne === proof.isBorne && (one.isBorne || one.id === id)')] },
  { name: 'putBackBeforeLineage', models: ['M_ONLYLINEAGE'], patches: [patch('step', 'const other = others.find((one) => known.includes(one))', 'const other: string | undefined = undefined')] },
  { name: 'putBackBeforeLineageWhereKnown', models: ['M_OTHERBLIND'], patches: [patch('step', '{ lineage: other, heardBy: id }', '{ lineage: other, heardBy: undefined }')] },
  { name: 'positionUnderLock', seed: 14, models: ['M_SEQEARLY'], mistakes: { drawsPositionsEarly: true } }
]
