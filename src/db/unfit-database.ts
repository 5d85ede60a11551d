/** A database on which the service cannot keep its promises. Trying again does not help; the message says what does. */
export class UnfitDatabase extends Error {
  constructor (message: string) {
    super(message)
    this.name = 'UnfitDatabase'
  }
}
