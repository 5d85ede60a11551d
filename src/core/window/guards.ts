/**
 * One switch for each guard of the protocol that has a form in code. All on, always: no setting, variable or
 * request reaches them. They exist so that a test can take one away and see that the suite notices; which test
 * that is stands in docs/model/README.md.
 */
export interface Guards {
  /** M_NOWIN: nothing is accepted outside the window. */
  readonly windowChecked: boolean
  /** M_TIMERFLAG: the window is compared with a fresh clock, not with a flag that a timer keeps. */
  readonly windowByClock: boolean
  /** M_FROMRECV: the window is counted from the sending of the renewal, not from its answer. */
  readonly windowFromSend: boolean
  /** M_NOTAIL: an entry older than a logged change of it is not accepted. */
  readonly tailChecked: boolean
  /** R5, R6: an entry older than the floor is not accepted. */
  readonly floorChecked: boolean
  /** M_NOFLOOR: what the tail no longer knows raises the floor, whether it was pruned here or missing from the log. */
  readonly floorRaised: boolean
  /** R7: another timeline, or a clock that went back, makes everything read before void. */
  readonly timelineResets: boolean
  /** M_DECOUPLED: the rows of a renewal are applied before its window is opened. */
  readonly appliedBeforeOpened: boolean
  /** M_ACKBEFOREAPPLY: a renewal acknowledges what has been applied, not what it is about to read. */
  readonly ackedAfterApplied: boolean
  /** M_HINTACK: a hint never moves the position that is acknowledged. */
  readonly hintsNotAcked: boolean
  /** R3: the answer of a renewal that was given up is not used. */
  readonly lateAnswersIgnored: boolean
  /** M_NOFENCE: a renewal that found no living row of its own opens nothing. */
  readonly fenced: boolean
  /** M_SHAREID: every joining is under a new id. */
  readonly idsFresh: boolean
  /** M_REG1SNAP: what the joining itself read opens nothing; only a renewal sent after its commit does. */
  readonly joinedFirst: boolean
  /** M_SPLITCHECK: the final check is one synchronous turn. */
  readonly checkedInOneTurn: boolean
  /** M_NOMARGIN: the slow path waits for the slowest allowed clock beside the fastest. */
  readonly waitHasMargin: boolean
  /** M_NOWAIT: a revoke waits at all. */
  readonly waited: boolean
  /** M_WAITEARLY: the wait is counted from the commit's answer. */
  readonly waitedFromCommit: boolean
  /** M_RETRYFAST: a revoke of what is revoked already waits for itself. */
  readonly retryWaits: boolean
  /** M_MEMBEFORE: the members waited for are read after the commit. */
  readonly membersReadAfterCommit: boolean
  /** M_REAPEARLY: a silent member is given its whole window before it is counted out. */
  readonly reapedAfterWindow: boolean
  /** R11: a member is counted out only if it has not renewed since it was looked at. */
  readonly reapedIfSilent: boolean
}

export const allGuards: Guards = Object.freeze({
  windowChecked: true,
  windowByClock: true,
  windowFromSend: true,
  tailChecked: true,
  floorChecked: true,
  floorRaised: true,
  timelineResets: true,
  appliedBeforeOpened: true,
  ackedAfterApplied: true,
  hintsNotAcked: true,
  lateAnswersIgnored: true,
  fenced: true,
  idsFresh: true,
  joinedFirst: true,
  checkedInOneTurn: true,
  waitHasMargin: true,
  waited: true,
  waitedFromCommit: true,
  retryWaits: true,
  membersReadAfterCommit: true,
  reapedAfterWindow: true,
  reapedIfSilent: true
})
