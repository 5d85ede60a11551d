import { closeSync, fsyncSync, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { NodeFS } from '@electric-sql/pglite/nodefs'

type InitArguments = Parameters<NodeFS['init']>

interface Stream {
  readonly node: object
  /** The host's file descriptor; folders have none. */
  readonly nfd?: number
}

interface HostFiles {
  readonly stream_ops: { fsync?: (stream: Stream) => number }
  realPath (node: object): string
  convertNodeCode (error: unknown): number
}

/** A folder of the host for PGlite, on which an fsync of Postgres reaches the disk; with `NodeFS` alone it is a success that does nothing. */
export class DurableFiles extends NodeFS {
  override async init (...[session, options]: InitArguments): ReturnType<NodeFS['init']> {
    const { emscriptenOpts } = await super.init(session, options)
    const makeDurable = ({ FS }: { FS: unknown }) => {
      const { ErrnoError, filesystems } = FS as { ErrnoError: new (errno: number) => Error, filesystems: { NODEFS: HostFiles } }
      filesystems.NODEFS.stream_ops.fsync = (stream) => {
        try {
          if (stream.nfd === undefined) syncPath(filesystems.NODEFS.realPath(stream.node))
          else fsyncSync(stream.nfd)
          return 0
        } catch (error) {
          throw new ErrnoError(filesystems.NODEFS.convertNodeCode(error))
        }
      }
    }
    return { emscriptenOpts: { ...emscriptenOpts, preRun: [...emscriptenOpts.preRun ?? [], makeDurable] } }
  }
}

/** Everything in `folder` reaches the disk, names included. */
export function syncTree (folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else if (entry.isFile()) syncPath(path)
  }
  syncPath(folder)
}

export function syncPath (path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
