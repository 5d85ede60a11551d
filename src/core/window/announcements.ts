import type { Announcement } from './step.ts'

/** What messages are signed with, and where they go (R0, R9). */
export interface Credentials {
  readonly rowSecret: Uint8Array
  /** Of the clock row. */
  readonly lineage: string
  /** Whether our own row has it. If not, every message only causes a renewal. */
  readonly isOurs: boolean
  /** Our own id: acknowledgements are sent to it. */
  readonly id: string
}

/** "This id refuses, for ever, entries older than `seq` of what was announced there with this nonce." */
export interface Acknowledgement {
  readonly from: string
  readonly label: string
  readonly seq: number
  readonly nonce: string
}

export interface AnnouncementListener {
  announced (announcement: Announcement): void
  acknowledged (acknowledgement: Acknowledgement): void
  /** A call for a renewal, or a message that cannot be believed: a renewal tells what happened. */
  called (): void
}

/** Carries messages between replicas. They may be lost: they make changes faster, never safer. No call throws or waits. */
export interface Announcements {
  /** Starts listening; called again when something in the credentials has changed. */
  open (credentials: Credentials, listener: AnnouncementListener): void
  /** Tells the other replicas, and drops what the shared cache holds of the key. */
  announce (announcement: Announcement): void
  /** Resolves to whether it was sent. */
  acknowledge (to: string, acknowledgement: Acknowledgement): Promise<boolean>
  close (): Promise<void>
}

/** For a replica without Redis. */
export const noAnnouncements: Announcements = {
  open () {},
  announce () {},
  async acknowledge () { return false },
  async close () {}
}
