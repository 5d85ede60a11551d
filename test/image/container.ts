import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A limit of memory, as a kubelet sets it. Both generations of the kernel's interface are spoken. */
export class MemoryGroup {
  readonly #folder: string
  readonly #isNew: boolean

  constructor (bytes: number) {
    this.#isNew = existsSync('/sys/fs/cgroup/cgroup.controllers')
    this.#folder = join('/sys/fs/cgroup', this.#isNew ? '' : 'memory', `navis-image-${process.pid}`)
    mkdirSync(this.#folder)
    writeFileSync(join(this.#folder, this.#isNew ? 'memory.max' : 'memory.limit_in_bytes'), String(bytes))
  }

  get processesFile (): string {
    return join(this.#folder, 'cgroup.procs')
  }

  /** The most that was ever in use, page cache included. */
  get peakBytes (): number {
    return Number(readFileSync(join(this.#folder, this.#isNew ? 'memory.peak' : 'memory.max_usage_in_bytes'), 'utf8'))
  }

  /** What cannot be given back when memory is short. */
  get heldBytes (): number {
    const stat = readFileSync(join(this.#folder, 'memory.stat'), 'utf8')
    return Number((this.#isNew ? /^anon (\d+)$/m : /^total_rss (\d+)$/m).exec(stat)?.[1])
  }

  get kills (): number {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(this.#folder, this.#isNew ? 'memory.events' : 'memory.oom_control'), 'utf8'))?.[1])
  }

  remove (): void {
    rmdirSync(this.#folder)
  }
}

interface RunOptions {
  readonly root: string
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workingDir: string
  readonly user: string
  readonly group?: MemoryGroup
  /** A folder that the image's user owns, for its volume. Unset: nothing can be written. */
  readonly data?: string
}

/**
 * A process in the files of an image: mounts of its own, all read-only, /proc and /dev; the image's user without any capability, and
 * no way to more rights. Its network is the machine's. The process that is given back is the one in the container.
 */
export function runContainer ({ root, command, env, workingDir, user, group, data }: RunOptions): ChildProcess {
  const [uid, gid] = user.split(':')
  const script = `
    set -e
    mount --make-rprivate /
    mount --bind "$ROOT" "$ROOT"
    mount -t proc proc "$ROOT/proc"
    mount -t tmpfs -o ro,mode=755 none "$ROOT/sys"
    mount --bind /dev "$ROOT/dev"
    mount -o remount,bind,ro "$ROOT"
    ${data === undefined ? '' : `mount --bind "${data}" "$ROOT/data"`}
    ${group === undefined ? '' : `echo $$ > "${group.processesFile}"`}
    cd "$ROOT"
    exec chroot . /usr/bin/setpriv --reuid ${uid} --regid ${gid} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \\
      /usr/bin/env -i -C "${workingDir}" "$@"`
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', ...variables, ...command], {
    env: { PATH: process.env['PATH'], ROOT: root },
    stdio: ['ignore', 'pipe', 'inherit']
  })
}
